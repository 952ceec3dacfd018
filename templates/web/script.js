/* What makes the forms more comfortable; each of them works without it. */
(() => {
  "use strict";

  const WAIT = 350; // milliseconds without a key before the preview is asked for

  /* The reader's own time zone, where none was chosen. */
  const zones = document.querySelector("form[data-zone] select[name=timezone]");
  if (zones) {
    const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
    if ([...zones.options].some((option) => option.value === own)) zones.value = own;
  }

  /* What the typed topics would bring, while they are typed. */
  for (const form of document.querySelectorAll("form[data-preview]")) {
    const place = form.querySelector("[data-bring]");
    const watched = form.dataset.watch.split(" ");
    let timer, asked;

    const wanted = () =>
      watched.some((name) =>
        [...form.elements].some(
          (field) =>
            field.name === name &&
            (field.type === "checkbox" ? field.checked : field.value.trim() !== ""),
        ),
      );

    const show = async () => {
      asked?.abort();
      if (!wanted()) {
        place.replaceChildren();
        return;
      }
      asked = new AbortController();
      const { signal } = asked;
      place.setAttribute("aria-busy", "true");
      try {
        const body = new URLSearchParams(new FormData(form));
        body.delete("email");
        body.set("fragment", "1");
        const answer = await fetch(form.dataset.preview, { method: "POST", body, signal });
        if (answer.ok) place.innerHTML = await answer.text();
      } catch {
        /* Offline, or a newer question is on its way: what stands there stays. */
      }
      if (!signal.aborted) place.removeAttribute("aria-busy");
    };

    form.addEventListener("input", (event) => {
      if (!watched.includes(event.target.name)) return;
      clearTimeout(timer);
      timer = setTimeout(show, WAIT);
    });
    // Typed before the page was reloaded; what is wrong is said at its field already.
    if (!place.hasChildNodes() && wanted() && !form.querySelector("[aria-invalid]")) show();
  }
})();
