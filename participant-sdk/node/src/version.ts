export const VERSION = "0.1.0";
/** For `assentctl participants`. */
export const AGENT = `assent-node/${VERSION}`;
