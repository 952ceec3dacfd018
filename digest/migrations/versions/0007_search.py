"""an index of the words of papers, kept in step by triggers"""

# ruff: noqa: S608 (the pieces of these statements are all written here)

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# Letters that no accent can be taken from; digest.searching spells a search in the same way.
PLAIN = {"ł": "l", "Ł": "L", "ø": "o", "Ø": "O", "đ": "d", "Đ": "D", "ı": "i", "ß": "ss"}
PLAIN |= {"æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE"}


def plain(text: str) -> str:
    for letter, letters in PLAIN.items():
        text = f"replace({text}, '{letter}', '{letters}')"
    return text


def upgrade() -> None:
    for statement in SQLITE if op.get_bind().dialect.name == "sqlite" else POSTGRESQL:
        op.execute(statement)


# A row's number is its day (since 1970) above its paper's id, so that numbers run as days do and
# the newest are found first. A category is a word in hexadecimal: exact, and like no other word.
# The index keeps no text: to take a row out, its words are told again.


def columns(row: str) -> str:
    listed = f"SELECT group_concat(value, ' , ') FROM json_each({row}authors)"
    codes = f"SELECT group_concat('cat' || hex(value) || '0', ' ') FROM json_each({row}categories)"
    number = f"(CAST(julianday({row}announced_day) - 2440587.5 AS INTEGER) << 40) | {row}id"
    return ", ".join(
        [
            number,
            plain(f"{row}title"),
            plain(f"{row}abstract"),
            plain(f"coalesce(({listed}), '')"),
            f"coalesce(({codes}), '')",
        ]
    )


def listed(row: str) -> str:
    found = f"{row}announced_day IS NOT NULL AND {row}merged_into IS NULL"
    return f"({found} AND {row}version > 0)"


INDEXED = ("id", "title", "abstract", "authors", "categories", "announced_day")
CHANGED = " OR ".join(
    f"OLD.{name} IS NOT NEW.{name}" for name in (*INDEXED, "merged_into", "version")
)
FIELDS = "rowid, title, abstract, authors, categories"
ENTER = f"INSERT INTO paper_search ({FIELDS}) SELECT {columns('NEW.')} WHERE {listed('NEW.')};"
LEAVE = f"""
    INSERT INTO paper_search (paper_search, {FIELDS})
    SELECT 'delete', {columns("OLD.")} WHERE {listed("OLD.")};
"""
SQLITE = [
    """
    CREATE VIRTUAL TABLE paper_search USING fts5(
        title, abstract, authors, categories,
        content='', tokenize='porter unicode61 remove_diacritics 2'
    )
    """,
    f"INSERT INTO paper_search ({FIELDS}) SELECT {columns('')} FROM paper WHERE {listed('')}",
    f"CREATE TRIGGER paper_search_enters AFTER INSERT ON paper BEGIN {ENTER} END",
    f"CREATE TRIGGER paper_search_leaves AFTER DELETE ON paper BEGIN {LEAVE} END",
    f"""
    CREATE TRIGGER paper_search_changes AFTER UPDATE ON paper WHEN {CHANGED}
    BEGIN {LEAVE} {ENTER} END
    """,
]

# Spelt without accents, and with nothing but letters and digits, so that the parser finds words
# where SQLite's does, whatever the locale. Most texts are ASCII, and spared what is slow.
SIGNS = "!\"#$%&''()*+,-./:;<=>?@[\\]^_`{|}~"  # for a literal, so that the apostrophe is doubled
BLANKS = " " * (len(SIGNS) - 1)
ACCENTED = plain("said")

POSTGRESQL = [
    "CREATE TEXT SEARCH DICTIONARY paper_words (TEMPLATE = snowball, LANGUAGE = english)",
    "CREATE TEXT SEARCH CONFIGURATION paper_words (COPY = simple)",
    """
    ALTER TEXT SEARCH CONFIGURATION paper_words
    ALTER MAPPING FOR asciiword, word WITH paper_words
    """,
    f"""
    CREATE FUNCTION paper_spelt(said text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
        SELECT translate(lower(CASE
            WHEN octet_length(said) = length(said) THEN said
            ELSE regexp_replace(regexp_replace(normalize({ACCENTED}, NFD),
                '[\u0300-\u036f]', '', 'g'), '[\u00a0-\u00bf\u2000-\u206f\u3000-\u3040]', ' ', 'g')
        END), '{SIGNS}', '{BLANKS}')
    $$
    """,
    """
    CREATE FUNCTION paper_vector(said text, weight "char") RETURNS tsvector LANGUAGE sql STABLE
    AS $$
        SELECT setweight(
            to_tsvector('paper_words', paper_spelt(left(coalesce(said, ''), 100000))), weight)
    $$
    """,
    """
    CREATE TABLE paper_search (
        paper_id integer PRIMARY KEY REFERENCES paper (id) ON DELETE CASCADE,
        day date NOT NULL,
        words tsvector NOT NULL
    )
    """,
    f"""
    CREATE FUNCTION paper_indexed(one paper) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
        DELETE FROM paper_search WHERE paper_id = one.id;
        INSERT INTO paper_search SELECT one.id, one.announced_day,
            paper_vector(one.title, 'A')
            || paper_vector((SELECT string_agg(name, ' , ')
                FROM json_array_elements_text(one.authors) name), 'B')
            || paper_vector(one.abstract, 'C')
            || paper_vector((SELECT string_agg(
                'cat' || encode(convert_to(code, 'UTF8'), 'hex') || '0', ' ')
                FROM json_array_elements_text(one.categories) code), 'D')
        WHERE {listed("one.")};
    END $$
    """,
    """
    CREATE FUNCTION paper_changed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        PERFORM paper_indexed(NEW);
        RETURN NULL;
    END $$
    """,
    "SELECT paper_indexed(paper) FROM paper",
    "CREATE INDEX ix_paper_search_words ON paper_search USING gin (words)",
    "CREATE INDEX ix_paper_search_day ON paper_search (day, paper_id)",
    """
    CREATE TRIGGER paper_search_enters AFTER INSERT ON paper
    FOR EACH ROW EXECUTE FUNCTION paper_changed()
    """,
    """
    CREATE TRIGGER paper_search_changes AFTER UPDATE ON paper FOR EACH ROW WHEN (
        (OLD.title, OLD.abstract, OLD.authors::text, OLD.categories::text, OLD.announced_day,
            OLD.merged_into, OLD.version)
        IS DISTINCT FROM
        (NEW.title, NEW.abstract, NEW.authors::text, NEW.categories::text, NEW.announced_day,
            NEW.merged_into, NEW.version)
    ) EXECUTE FUNCTION paper_changed()
    """,
]
