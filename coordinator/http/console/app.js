// The frame around the pages: where one is, whether the daemon is there, keys, and what is said aloud.

import { get, pathOf, unknown } from "./api.js";
import { here, link, replace, toTransaction } from "./address.js";
import { AttentionPage } from "./attention.js";
import { el, show } from "./dom.js";
import { clock, duration, number } from "./format.js";
import { showKeys, takeKeys } from "./keys.js";
import { DeniedPage, LoginPage } from "./login.js";
import { OverviewPage } from "./overview.js";
import { ParticipantsPage } from "./participants.js";
import { Pulse } from "./pulse.js";
import { session } from "./session.js";
import { TransactionPage } from "./transaction.js";
import { shown } from "./unseen.js";

const PAGES = {
  attention: AttentionPage,
  transactions: TransactionPage,
  participants: ParticipantsPage,
  overview: OverviewPage,
};
const TABS = [
  ["attention", "Attention"],
  ["participants", "Participants"],
  ["overview", "Overview"],
];

class App {
  pulse = new Pulse();
  page = null;
  #at = "";
  #asking = null;

  constructor() {
    this.banner = el("div", { class: "banner-place", role: "status" });
    this.tabs = el("nav", { class: "tabs", "aria-label": "Pages" });
    this.state = el("p", { class: "pulse" });
    this.who = el("p", { class: "who" });
    this.search = el("input", {
      type: "search",
      name: "gid",
      placeholder: "Find a gid",
      "aria-label": "Find a transaction by its gid",
      autocomplete: "off",
      spellcheck: "false",
    });
    this.main = el("main", { id: "main", tabindex: "-1" });
    this.said = el("div", { class: "away", "aria-live": "polite" });
    this.toast = el("div", { class: "toast-place" });
    const find = el(
      "form",
      {
        role: "search",
        class: "find",
        onsubmit: (event) => {
          event.preventDefault();
          this.find(this.search.value.trim());
        },
      },
      this.search,
    );
    const skip = el(
      "button",
      { type: "button", class: "skip", onclick: () => this.main.focus() },
      "Skip to the content",
    );
    document.body.append(
      skip,
      el(
        "header",
        { class: "top" },
        el("a", { class: "mark", href: link("attention") }, "Assent"),
        this.tabs,
        find,
        this.state,
        this.who,
        el("button", { type: "button", class: "quiet help", "aria-label": "Keys", onclick: showKeys }, "?"),
      ),
      this.banner,
      this.main,
      this.toast,
      this.said,
    );
    addEventListener("hashchange", () => this.#go());
    unknown.addEventListener("unknown", () => this.#askWho());
    this.pulse.addEventListener("beat", () => this.#beat());
    this.pulse.addEventListener("back", () => {
      this.announce("The daemon answers again.");
      this.page.refresh();
      this.#askWho();
    });
    takeKeys(this);
    this.#askWho();
  }

  // Who looks at this, and so what there is for him to see.
  #askWho() {
    this.#asking ??= session.ask().finally(() => {
      this.#asking = null;
      this.#enter();
    });
  }

  #enter() {
    if (session.may("LOOK")) this.pulse.start();
    else {
      this.pulse.stop();
      show(this.banner);
      show(this.state);
    }
    show(
      this.who,
      session.identity ? el("span", { title: session.roles }, session.identity) : null,
      session.hasLogin
        ? el("button", { type: "button", class: "quiet", onclick: () => this.#logOut() }, "Log out")
        : null,
    );
    this.search.hidden = !session.may("FOLLOW");
    this.#go();
  }

  async #logOut() {
    try {
      await session.logOut();
    } catch (failure) {
      this.tell(`It is not known whether you are logged out: ${failure.message}`);
    }
    this.#enter();
  }

  announce(text) {
    this.said.textContent = shown(text);
  }

  // What was done, for as long as it takes to read.
  tell(text) {
    const box = el(
      "p",
      { class: "toast" },
      text,
      el("button", { type: "button", class: "quiet", "aria-label": "Close", onclick: () => box.remove() }, "×"),
    );
    show(this.toast);
    this.toast.append(box);
    this.announce(text);
    setTimeout(() => box.remove(), 12000);
  }

  // A gid leads to its transaction; the beginning of one, to all that begin so.
  async find(gid) {
    if (!gid) return;
    try {
      await get(pathOf(gid));
      location.hash = toTransaction(gid);
    } catch {
      if (!session.may("LOOK")) location.hash = toTransaction(gid);
      else location.hash = link("attention", "", { prefix: gid, state: "all" });
    }
    this.search.value = "";
    this.main.focus();
  }

  #go() {
    const at = here();
    const known = PAGES[at.page] && (at.page === "transactions") === (at.id !== "");
    if (!known) return replace(link("attention"));
    const denied = session.isStranger || !session.may(at.page === "transactions" ? "FOLLOW" : "LOOK");
    const place = denied ? `denied ${session.isStranger}` : `${at.page}/${at.id}`;
    if (place === this.#at && (denied || this.page.update)) {
      this.page.update?.(at);
    } else {
      this.page?.close();
      show(this.main);
      this.#at = place;
      const first = !this.page;
      if (session.isStranger) this.page = new LoginPage(this.main, () => this.#enter());
      else this.page = denied ? new DeniedPage(this.main) : new PAGES[at.page](this.main, at, this);
      scrollTo(0, 0);
      if (!first && !session.isStranger) this.main.focus({ preventScroll: true });
    }
    this.main.dataset.at = location.hash;
    this.#drawTabs(at.page);
  }

  #drawTabs(page) {
    const needs = Number(this.pulse.server?.needsOperator || 0);
    document.title = shown(`${needs ? `(${number(needs)}) ` : ""}${this.page.title} · Assent`);
    show(
      this.tabs,
      (session.may("LOOK") ? TABS : []).map(([name, word]) =>
        el(
          "a",
          { href: link(name), "aria-current": name === page ? "page" : null },
          word,
          name === "attention" && needs
            ? el("span", { class: "bubble", "aria-label": `${needs} need a person` }, number(needs))
            : null,
        ),
      ),
    );
  }

  #beat() {
    if (!session.may("LOOK")) return;
    const { failure, server, since, checks } = this.pulse;
    this.#drawTabs(here().page);
    document.body.classList.toggle("stale", Boolean(failure));
    show(
      this.state,
      el("i", { class: `dot ${failure ? "bad" : server.refusing ? "warn" : "good"}`, "aria-hidden": "true" }),
      failure ? "no answer" : server.refusing ? "refusing" : "live",
    );
    const silent = failure ? [] : server.members.filter((member) => !member.info);
    show(
      this.banner,
      failure
        ? el(
            "div",
            { class: "banner bad" },
            el("strong", {}, failure.http === 503 ? "The daemon does not serve yet" : "The daemon does not answer"),
            ` since ${clock(since)} (${duration(Date.now() - since)}). ${failure.http === 503 ? failure.message : "What you see is as it was then; this page tries again by itself."}`,
            checks.length
              ? el(
                  "ul",
                  {},
                  checks.map((check) => el("li", {}, check)),
                )
              : null,
          )
        : null,
      !failure && server.refusing
        ? el("div", { class: "banner warn" }, el("strong", {}, "New transactions are refused: "), server.refusing)
        : null,
      !failure && (Number(server.setAside) || server.slotsSetAside.length)
        ? el(
            "div",
            { class: "banner warn" },
            "Rows of the log cannot be read, and nobody works on their transactions: the daemon's log names them.",
          )
        : null,
      silent.map((member) =>
        el("div", { class: "banner warn" }, el("strong", {}, `${member.node} does not answer: `), member.silent),
      ),
    );
  }
}

new App();
