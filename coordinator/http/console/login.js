// What there is to see for whoever has not said who he is, and for whoever may not look.

import { el, show } from "./dom.js";
import { session } from "./session.js";

export class LoginPage {
  title = "Log in";

  constructor(root, onDone) {
    const trouble = el("p", { class: "trouble", role: "alert" });
    const token = el("input", {
      type: "password",
      name: "token",
      required: true,
      maxlength: 8192,
      autocomplete: "current-password",
      spellcheck: "false",
    });
    const button = el("button", { type: "submit", class: "main" }, "Log in");
    const form = el(
      "form",
      {
        class: "login",
        "aria-labelledby": "login-title",
        onsubmit: async (event) => {
          event.preventDefault();
          button.disabled = true;
          show(trouble);
          try {
            await session.logIn(token.value.trim());
          } catch (failure) {
            show(trouble, failure.message);
            button.disabled = false;
            return token.select();
          }
          token.value = "";
          onDone();
        },
      },
      el("h1", { id: "login-title" }, "Who are you?"),
      el("p", { class: "muted" }, "This coordinator has rules: it shows itself to those whom it knows."),
      session.noLogin
        ? el("p", { class: "warning", role: "alert" }, `No login here: ${session.noLogin}.`)
        : [
            el("label", {}, "Token", token),
            el(
              "p",
              { class: "muted" },
              "As assentctl auth token makes one. It is sent once, and kept by nobody: a cookie stands for it until you log out, for 8 hours at most.",
            ),
            trouble,
            el("div", { class: "buttons" }, button),
          ],
    );
    root.append(form);
    if (!session.noLogin) token.focus();
  }

  close() {}
  refresh() {}
}

// Who may follow a transaction of its own, and nothing else.
export class DeniedPage {
  title = "Not allowed";

  constructor(root) {
    root.append(
      el(
        "div",
        { class: "empty" },
        el("h1", {}, "There is nothing to be listed"),
        el("p", {}, session.whyNot("LOOK")),
        session.may("FOLLOW") ? el("p", {}, "A transaction of its own is found by its gid, above.") : null,
      ),
    );
  }

  close() {}
  refresh() {}
}
