// The W3C's trace context of a transaction: "00-TRACEID-SPANID-FLAGS".

const PARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}/;

// Nothing, where there is none, or one that is none.
export function traceIdOf(traceparent) {
  const id = PARENT.exec(traceparent || "")?.[1];
  return id && !/^0+$/.test(id) ? id : "";
}

// Where a trace can be looked at, by a template with {trace_id}; nothing but a web page.
export function traceUrl(template, id) {
  if (!template?.includes("{trace_id}")) return "";
  try {
    const url = new URL(template.replaceAll("{trace_id}", id));
    return ["http:", "https:"].includes(url.protocol) ? url.href : "";
  } catch {
    return "";
  }
}
