// Tells what mail programs make of the HTML files named, and whether they are sound HTML. As JSON:
// {features: [{title, kind, clients}], markup: [{file, rule, line, message}]}.
import { readFileSync } from 'node:fs';
import { caniemail } from 'caniemail';
import { HtmlValidate } from 'html-validate';

const CLIENTS = ['gmail.*', 'outlook.*', 'apple-mail.*', 'yahoo.*', 'samsung-email.*', 'thunderbird.*'];

const validator = new HtmlValidate({
  root: true,
  extends: ['html-validate:recommended', 'html-validate:a11y'],
  rules: {
    'no-inline-style': 'off', // what many mail programs read is nothing else
    'no-deprecated-attr': 'off', // Outlook takes widths, alignment and cell spacing from attributes
    'no-conditional-comment': 'off', // Outlook again: it needs a table of a fixed width
  },
});

const features = new Map();
const markup = [];
for (const file of process.argv.slice(2)) {
  const html = readFileSync(file, 'utf-8');
  const { issues } = caniemail({ clients: CLIENTS, html });
  for (const kind of ['errors', 'warnings']) {
    for (const [client, found] of issues[kind]) {
      for (const { title } of found) {
        const key = JSON.stringify({ title, kind });
        features.set(key, (features.get(key) ?? new Set()).add(client));
      }
    }
  }
  const { results } = await validator.validateString(html, file);
  for (const { ruleId, line, message } of results.flatMap((result) => result.messages)) {
    markup.push({ file, rule: ruleId, line, message });
  }
}

const told = [...features].map(([key, clients]) => ({ ...JSON.parse(key), clients: [...clients].sort() }));
console.log(JSON.stringify({ features: told, markup }));
