// Transactions in rows, as many as there are: pages are fetched as one gets near them, and of the
// rows only those exist that are seen.

import { get, repeat } from "./api.js";
import { toTransaction } from "./address.js";
import { el, show } from "./dom.js";
import { age, badge, causeFirst, number, servicesOf, stateOf } from "./format.js";

const FIRST_PAGE = 200;
const PAGE = 1000;
const BEYOND = 10; // rows above and below those that are seen
const EVERY_MS = 2000;

// What is kept of a transaction: a hundred thousand of them have room.
const rowOf = (transaction) => ({
  gid: transaction.gid,
  state: stateOf(transaction),
  why: transaction.whyNotFinished ? causeFirst(transaction.whyNotFinished) : transaction.abortReason,
  services: servicesOf(transaction).join(", "),
  began: Number(transaction.beganUnixMs),
  finished: Number(transaction.finishedUnixMs),
});

export class TransactionList {
  #query;
  #expected; // how many there should be, if that is known
  #pages = []; // {token, rows}, each followed by the next
  #next = ""; // the token behind the last page; null: that was all
  #loading = null;
  #toEnd = false;
  #shown = new Map(); // by number
  #chosen = -1;
  #silent = [];
  #leftOut = 0;
  #failure = null;
  static #left = new Map(); // by query: the row at which one has left a list, to come back to

  constructor(query, { label, expected = 0, onReply = () => {} }) {
    this.#query = query;
    this.#expected = expected;
    this.onReply = onReply;
    this.rows = el("ol", { class: "rows", "aria-label": label });
    this.scroller = el("div", { class: "scroller" }, this.rows);
    this.foot = el("p", { class: "foot" });
    this.element = el("div", { class: "list" }, this.scroller, this.foot);
    this.scroller.addEventListener("scroll", () => this.#draw(), { passive: true });
    this.sized = new ResizeObserver(() => this.#draw());
    this.sized.observe(this.scroller);
    this.again = repeat(EVERY_MS, () => this.#refresh());
  }

  set expected(count) {
    this.#expected = count;
  }

  refresh() {
    return this.again.now();
  }

  close() {
    if (this.#chosen >= 0) TransactionList.#left.set(String(this.#query), this.#chosen);
    this.again.end();
    this.sized.disconnect();
    this.#toEnd = false;
  }

  get count() {
    return this.#pages.reduce((sum, page) => sum + page.rows.length, 0);
  }

  // ---- Keys -----------------------------------------------------------------------------------------

  move(by) {
    this.choose(this.#chosen < 0 ? 0 : this.#chosen + by);
  }

  // Down to the last one there is, however many pages that takes.
  async toEnd() {
    this.#toEnd = true;
    while (this.#toEnd && this.#next !== null && !this.#failure) {
      await this.#more();
      this.choose(this.count - 1);
    }
    this.#toEnd = false;
    this.choose(this.count - 1);
  }

  choose(at) {
    const last = this.count - 1;
    if (last < 0) return;
    this.#chosen = Math.max(0, Math.min(last, at));
    const height = this.#rowHeight();
    const top = this.#chosen * height;
    const { scrollTop, clientHeight } = this.scroller;
    if (top < scrollTop) this.scroller.scrollTop = top;
    if (top + height > scrollTop + clientHeight) this.scroller.scrollTop = top + height - clientHeight;
    this.#draw();
    this.#shown.get(this.#chosen)?.querySelector("a").focus();
  }

  // ---- Fetching -------------------------------------------------------------------------------------

  async #fetch(token, size) {
    const reply = await get("/v1/transactions", [
      ...this.#query,
      ["page_size", size],
      ...(token ? [["page_token", token]] : []),
    ]);
    this.#silent = reply.silent;
    this.#leftOut = reply.slotsLeftOut;
    return { rows: reply.transactions.map(rowOf), next: reply.nextPageToken || null };
  }

  #more() {
    if (this.#next === null) return null;
    this.#loading ||= this.#try(async () => {
      const token = this.#next;
      const { rows, next } = await this.#fetch(token, this.#pages.length ? PAGE : FIRST_PAGE);
      this.#pages.push({ token, rows });
      this.#next = next;
      const left = TransactionList.#left.get(String(this.#query));
      if (this.#pages.length === 1 && left < rows.length) requestAnimationFrame(() => this.choose(left));
    });
    return this.#loading;
  }

  // The pages that are seen, as they are now.
  #refresh() {
    if (this.#pages.length === 0) return this.#more() || Promise.resolve();
    const [first, last] = this.#seen();
    this.#loading ||= this.#try(async () => {
      let start = 0;
      for (const [at, page] of [...this.#pages.entries()]) {
        const end = start + page.rows.length;
        if (end >= first && start <= last) {
          const { rows, next } = await this.#fetch(page.token, at ? PAGE : FIRST_PAGE);
          const following = this.#pages[at + 1];
          // What has moved up from the next page stands there still.
          const there = new Set(following?.rows.map((row) => row.gid));
          page.rows = rows.filter((row) => !there.has(row.gid));
          if (!following) this.#next = next;
        }
        start = end;
      }
    });
    return this.#loading;
  }

  async #try(task) {
    try {
      await task();
      this.#failure = null;
    } catch (failure) {
      this.#failure = failure;
    }
    this.#loading = null;
    this.onReply({ silent: this.#silent, failure: this.#failure });
    this.#draw();
  }

  // ---- Drawing --------------------------------------------------------------------------------------

  #rowHeight() {
    return parseFloat(getComputedStyle(this.element).getPropertyValue("--row-height")) || 40;
  }

  #seen() {
    const height = this.#rowHeight();
    const first = Math.floor(this.scroller.scrollTop / height);
    return [first, first + Math.ceil(this.scroller.clientHeight / height)];
  }

  #rowAt(number) {
    for (const page of this.#pages) {
      if (number < page.rows.length) return page.rows[number];
      number -= page.rows.length;
    }
    return null;
  }

  #draw() {
    const count = this.count;
    const height = this.#rowHeight();
    this.rows.style.height = `${count * height}px`;
    const [first, last] = this.#seen();
    const [from, to] = [Math.max(0, first - BEYOND), Math.min(count, last + BEYOND)];
    for (const [at, item] of this.#shown) {
      if (at >= from && at < to) continue;
      item.remove();
      this.#shown.delete(at);
    }
    for (let at = from; at < to; at++) this.#drawRow(at, height, count);
    this.#drawFoot(count);
    // Not while one goes to the end: that fetches by itself.
    if (last + PAGE / 4 > count && this.#next && !this.#toEnd && !this.#failure) this.#more();
  }

  #drawRow(at, height, count) {
    let item = this.#shown.get(at);
    if (!item) {
      item = el("li", { class: "row" });
      this.#shown.set(at, item);
      const next = [...this.#shown.keys()].filter((one) => one > at).sort((a, b) => a - b)[0];
      this.rows.insertBefore(item, next === undefined ? null : this.#shown.get(next));
    }
    const row = this.#rowAt(at);
    item.style.transform = `translateY(${at * height}px)`;
    item.setAttribute("aria-posinset", at + 1);
    item.setAttribute("aria-setsize", this.#next === null ? count : -1);
    show(
      item,
      el(
        "a",
        {
          href: toTransaction(row.gid),
          class: at === this.#chosen ? "chosen" : "",
          onclick: () => (this.#chosen = at),
        },
        el("span", { class: "gid" }, row.gid),
        badge(row.state, true),
        el("span", { class: "why", title: row.why }, row.why || row.services),
        el(
          "span",
          { class: "age", title: row.finished ? "since it finished" : "since it began" },
          row.finished ? `${age(row.finished)} ago` : age(row.began),
        ),
      ),
    );
  }

  #drawFoot(count) {
    const silent = this.#silent.map(
      (member) => `${member.node || member.address} does not answer: its unfinished transactions are missing here`,
    );
    if (this.#leftOut)
      silent.push(
        `${number(this.#leftOut)} slots are in nobody's hands at this moment: their transactions are missing here`,
      );
    const of = this.#expected > count ? ` of ${number(this.#expected)}` : "";
    const said = this.#failure
      ? this.#failure.message
      : this.#pages.length === 0
        ? "Loading…"
        : count === 0 && this.#next === null
          ? "No transaction matches."
          : this.#next === null
            ? `${number(count)} shown, that is all of them.`
            : `The first ${number(count)}${of} are loaded; more come as you go down.`;
    show(
      this.foot,
      said,
      silent.map((one) => el("span", { class: "warning" }, one)),
    );
  }
}
