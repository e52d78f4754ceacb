// What is asked of the daemon, and how it may fail.

const PATIENCE_MS = 10000;

// What a page of ours shows beside the cookie of its session, wherever it changes something.
let csrf = "";
export const showWith = (token) => (csrf = token);

// Told when the coordinator does not know who asks, or does not any more.
export const unknown = new EventTarget();

// `away`: nobody answered, or who answers is only starting or stopping. Else it is an answer: no.
export class Failure extends Error {
  constructor(message, { http = 0, code = 0 } = {}) {
    super(message);
    this.http = http;
    this.code = code;
    this.away = http === 0 || http === 503;
  }
}

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, signal: AbortSignal.timeout(PATIENCE_MS), cache: "no-store" });
  } catch (error) {
    throw new Failure(
      error.name === "TimeoutError" ? "The daemon did not answer within 10 seconds." : "The daemon does not answer.",
    );
  }
  if (response.ok) return response;
  let status = {};
  try {
    status = await response.json();
  } catch {
    // Not the daemon's own answer: a proxy's.
  }
  if (response.status === 401 && path !== "/v1/login") unknown.dispatchEvent(new Event("unknown"));
  throw new Failure(status.message || `HTTP ${response.status}`, { http: response.status, code: status.code });
}

const withQuery = (path, query) => {
  const text = new URLSearchParams(query).toString();
  return text ? `${path}?${text}` : path;
};

async function read(path, options) {
  const response = await ask(path, options);
  try {
    return await response.json();
  } catch {
    throw new Failure("The daemon's answer broke off.");
  }
}

export const get = (path, query = {}) => read(withQuery(path, query));
export const post = (path, body) =>
  read(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...(csrf ? { "X-Assent-Csrf": csrf } : {}) },
    body: JSON.stringify(body),
  });
export async function text(path) {
  try {
    return await (await ask(path)).text();
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure("The daemon's answer broke off.");
  }
}
// Also of an answer that says no: the lines of /readyz.
export async function lines(path) {
  try {
    return (await (await fetch(path, { signal: AbortSignal.timeout(PATIENCE_MS), cache: "no-store" })).text())
      .trim()
      .split("\n");
  } catch {
    return [];
  }
}

export const pathOf = (gid) => `/v1/transactions/${encodeURIComponent(gid)}`;

// Every page of a paged list.
export async function getAll(path, query, field) {
  const all = { [field]: [], silent: [] };
  for (let token = ""; ;) {
    const page = await get(path, { ...query, ...(token ? { page_token: token } : {}) });
    all[field].push(...page[field]);
    all.silent = page.silent;
    token = page.nextPageToken;
    if (!token) return all;
  }
}

// Does `task` now, and again `ms` after it has ended, while somebody looks at the page; what takes the
// daemon long is asked for less often. Answers how to have it done at once, and how to end that.
export function repeat(ms, task) {
  let timer = 0;
  let busy = null;
  let ended = false;
  const run = () => {
    clearTimeout(timer);
    if (ended || busy) return busy;
    const began = performance.now();
    busy = task().finally(() => {
      busy = null;
      if (!ended && !document.hidden) timer = setTimeout(run, Math.max(ms, 5 * (performance.now() - began)));
    });
    return busy;
  };
  const seen = () => !document.hidden && run();
  document.addEventListener("visibilitychange", seen);
  run();
  return {
    now: run,
    end() {
      ended = true;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
    },
  };
}

// One transaction, as it is and after each change, until it is finished. The stream rests while
// nobody looks: a browser has few connections for all its tabs.
export function watch(gid, { onChange, onFailure }) {
  let source = null;
  let timer = 0;
  let ended = false;
  const stop = () => {
    clearTimeout(timer);
    source?.close();
    source = null;
  };
  const later = (failure) => {
    stop();
    if (ended) return;
    onFailure(failure);
    if (failure.away && !document.hidden) timer = setTimeout(begin, 1000);
  };
  async function begin() {
    stop();
    try {
      // A stream that fails does not say why; this does.
      const now = await get(pathOf(gid));
      if (ended || document.hidden) return;
      onChange(now);
      if (now.state === "FINISHED") return;
    } catch (failure) {
      return later(failure);
    }
    source = new EventSource(`${pathOf(gid)}:watch`);
    source.addEventListener("transaction", (event) => onChange(JSON.parse(event.data)));
    source.addEventListener("end", stop);
    source.onerror = () => later(new Failure("The stream of changes has broken off."));
  }
  const seen = () => (document.hidden ? stop() : begin());
  document.addEventListener("visibilitychange", seen);
  begin();
  return {
    now: begin,
    end() {
      ended = true;
      stop();
      document.removeEventListener("visibilitychange", seen);
    },
  };
}
