// Where one is: a page, perhaps of one thing, and filters. All of it stands in the address, so that
// it can be sent to a colleague.

export function here() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const at = path.indexOf("/");
  const page = at < 0 ? path : path.slice(0, at);
  return { page: page || "attention", id: at < 0 ? "" : decode(path.slice(at + 1)), query: new URLSearchParams(query) };
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export function link(page, id = "", query = {}) {
  const text = new URLSearchParams([...new URLSearchParams(query)].filter(([, value]) => value !== "")).toString();
  return `#/${page === "attention" ? "" : page}${id ? `/${encodeURIComponent(id)}` : ""}${text ? `?${text}` : ""}`;
}

export const toTransaction = (gid) => link("transactions", gid);

// Another filter on the same page is no new place to come back to.
export function replace(address) {
  history.replaceState(null, "", address);
  dispatchEvent(new HashChangeEvent("hashchange"));
}
