// Who looks at this page, as far as the coordinator knows, and what it lets him do.

import { Failure, get, post, showWith } from "./api.js";

const EVERYTHING = { rules: false, identity: "", roles: "", by: "", may: null, payloads: true, login: "" };
const WORDS = {
  LOOK: "look at everything",
  OPERATE: "act on transactions",
  ADMINISTER: "remove what has finished",
};

class Session {
  #known = EVERYTHING;

  get identity() {
    return this.#known.identity;
  }

  get roles() {
    return this.#known.roles;
  }

  get hasLogin() {
    return this.#known.by === "SESSION";
  }

  // Why no login is taken here; empty: it is.
  get noLogin() {
    return this.#known.login;
  }

  // Nobody is known, and what everybody may is nothing that this page shows.
  get isStranger() {
    return this.#known.rules && !this.#known.identity && !this.may("LOOK") && !this.may("FOLLOW");
  }

  may(permission) {
    return this.#known.may === null || this.#known.may.includes(permission);
  }

  whyNot(permission) {
    const who = this.identity || "Nobody is known to look, and everybody";
    return `${who} may not ${WORDS[permission]}: ${this.identity ? `it has ${this.roles}` : "log in, or show a certificate"}.`;
  }

  // Nobody answers: then it is as it was, and the pages say that nobody does.
  async ask() {
    try {
      this.#take(await get("/v1/login"));
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
    }
  }

  async logIn(token) {
    this.#take(await post("/v1/login", { token }));
  }

  async logOut() {
    await post("/v1/logout", {});
    await this.ask();
  }

  #take(said) {
    this.#known = said;
    showWith(said.csrf);
  }
}

export const session = new Session();
