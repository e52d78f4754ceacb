// What a handler's SQL begins with, statement by statement: comments, quoted text and several statements in one string hide nothing.
//
// It is read as the database reads it, with the settings that it comes with. A word that is hidden all the same (EXECUTE IMMEDIATE,
// a procedure) is seen by what it does: the row of the branch is there, committed, before the handler has an answer (sql.ts).

/** How a database writes SQL. */
export interface Lexicon {
  /** `#` begins a comment, `--` only before a blank, and `/*!` none: MariaDB, MySQL. */
  readonly hash?: boolean;
  /** A backslash escapes in quotes; else in PostgreSQL's E'' alone. */
  readonly backslash?: boolean;
  /** `$tag$ … $tag$` quotes, and comments are nested: PostgreSQL. */
  readonly dollar?: boolean;
  /** One string is one statement: SQLite. */
  readonly single?: boolean;
}

const ENDS =
  /^(BEGIN|START\s+TRANSACTION|COMMIT|END|ABORT|ROLLBACK(?!\s+(?:WORK\s+|TRANSACTION\s+)?TO\b)|PREPARE\s+TRANSACTION|XA)\b/i;
/** In MariaDB and MySQL. */
const ENDS_THERE = /^(LOCK\s+TABLES?)\b|^SET\s(?:.*(?:[\s,.]|@@))?autocommit\s*:?=/is;

/** What of `sql` ends the transaction that it runs in; undefined: nothing. */
export function endingOf(sql: string, lexicon: Lexicon): string | undefined {
  for (const statement of statementsOf(sql, lexicon)) {
    const ending = ENDS.exec(statement) ?? (lexicon.hash ? ENDS_THERE.exec(statement) : null);
    if (ending) return ending[1]?.toUpperCase() ?? "SET autocommit";
    if (lexicon.single) return undefined;
  }
  return undefined;
}

/** Without comments, and what is in quotes; none of them empty. */
export function statementsOf(sql: string, lexicon: Lexicon): string[] {
  const found: string[] = [];
  let text = "";
  const end = (): void => {
    if (text.trim()) found.push(text.trim());
    text = "";
  };
  for (let at = 0; at < sql.length; ) {
    const skipped = skip(sql, at, lexicon);
    if (skipped > at) {
      if (sql[at] === "`") text += sql.slice(at + 1, skipped - 1);
      else text += /['"$eE]/.test(sql[at]!) ? "''" : " ";
      at = skipped;
    } else if (sql[at] === ";" && !(lexicon.dollar && isWithinBody(text))) {
      end();
      at += 1;
    } else {
      text += sql[at];
      at += 1;
    }
  }
  end();
  return found;
}

/** Of PostgreSQL's CREATE FUNCTION … BEGIN ATOMIC …; END: what is in its body is carried out when it is called. */
function isWithinBody(text: string): boolean {
  if (!/^\s*CREATE\s+(OR\s+REPLACE\s+)?(FUNCTION|PROCEDURE)\b/i.test(text)) return false;
  const body = /\bBEGIN\s+ATOMIC\b(.*)/is.exec(text)?.[1];
  if (body === undefined) return false;
  let depth = 1;
  for (const [word] of body.matchAll(/\b(CASE|END)\b/gi)) depth += word.toUpperCase() === "CASE" ? 1 : -1;
  return depth > 0;
}

/** Behind the comment or the quoted text that begins here; `at` itself: none does. */
function skip(sql: string, at: number, lexicon: Lexicon): number {
  const two = sql.slice(at, at + 2);
  if (two === "--" && (!lexicon.hash || /^(\s|$)/.test(sql.slice(at + 2, at + 3)))) return lineEnd(sql, at, lexicon);
  if (lexicon.hash && sql[at] === "#") return lineEnd(sql, at, lexicon);
  if (two === "/*") return commentEnd(sql, at, lexicon);
  if (lexicon.hash && two === "*/") return at + 2; // of a comment that is executed
  const isWordBefore = at > 0 && /[\w$\u0080-\uffff]/.test(sql[at - 1]!);
  if (lexicon.dollar && !isWordBefore) {
    if (/^e'/i.test(two)) return quoteEnd(sql, at + 1, true);
    const tag = sql[at] === "$" && /^\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/.exec(sql.slice(at, at + 128));
    if (tag) {
      const close = sql.indexOf(tag[0], at + tag[0].length);
      return close < 0 ? sql.length : close + tag[0].length;
    }
  }
  if (sql[at] === "'") return quoteEnd(sql, at, lexicon.backslash ?? false);
  if (sql[at] === '"') return quoteEnd(sql, at, lexicon.backslash ?? false);
  return sql[at] === "`" ? quoteEnd(sql, at, false) : at;
}

function lineEnd(sql: string, at: number, lexicon: Lexicon): number {
  const length = sql.slice(at).search(lexicon.dollar ? /[\r\n]/ : /\n/);
  return length < 0 ? sql.length : at + length;
}

function commentEnd(sql: string, at: number, lexicon: Lexicon): number {
  const executed = lexicon.hash && /^\/\*M?!\d*/.exec(sql.slice(at, at + 12));
  if (executed) return at + executed[0].length;
  let depth = 0;
  for (let here = at; here < sql.length; ) {
    const two = sql.slice(here, here + 2);
    if (two === "/*" && (depth === 0 || lexicon.dollar)) depth += 1;
    else if (two === "*/") depth -= 1;
    else {
      here += 1;
      continue;
    }
    here += 2;
    if (depth === 0) return here;
  }
  return sql.length;
}

/** A doubled quote is two that follow each other. */
function quoteEnd(sql: string, at: number, backslash: boolean): number {
  for (let here = at + 1; here < sql.length; here += 1) {
    if (sql[here] === sql[at]) return here + 1;
    if (backslash && sql[here] === "\\") here += 1;
  }
  return sql.length;
}
