// Characters that a person cannot see, or that turn what stands beside them: those of assent/text.h,
// but for line feeds, which a page folds. What others wrote is shown with their numbers instead.

const UNSEEN =
  /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890-\u0891\u08e2\u115f-\u1160\u17b4-\u17b5\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\u{13430}-\u{1343f}\u{1d173}-\u{1d17a}\u{e0000}-\u{e007f}]/gu;

const hex = (value, digits) => value.toString(16).padStart(digits, "0");

// "\u202e", as JSON has it.
export const shown = (text) =>
  String(text).replace(UNSEEN, (c) => [...Array(c.length).keys()].map((at) => `\\u${hex(c.charCodeAt(at), 4)}`).join(""));

// For a word of a shell, inside $'…'.
export const escaped = (text) =>
  text
    .replace(/[\\']/g, "\\$&")
    .replace(/\n/g, "\\n")
    .replace(UNSEEN, (c) => (c.length > 1 ? `\\U${hex(c.codePointAt(0), 8)}` : `\\u${hex(c.charCodeAt(0), 4)}`));
export const isSeen = (text) => !text.includes("\n") && text.search(UNSEEN) < 0;
