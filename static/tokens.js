/* Calls of our API by our own pages, as whoever is signed in here: lori.call(address, options) is fetch with
   the CSRF header, a token that is renewed before it runs out, and one more try after a 401.

   The tokens are in cookies that no script can read. What can be read is when the access token runs out: the
   cookie lori-until, which all tabs share. However many calls are open, in however many tabs, one renewal is
   made for all of them. */
"use strict";

(() => {
  // The last part of the cookies' names: on https they begin with a word to the browser.
  const CSRF = "csrftoken";
  const UNTIL = "lori-until";
  const renewal = document.currentScript.dataset.renew;
  // An answer takes its time too.
  const MARGIN_MS = 20_000;
  // However wrong this machine's clock is, it must not make us renew before every call.
  const AT_MOST_EVERY_MS = 60_000;

  let renewing = null;
  let renewedAt = -Infinity;
  // No token may be there because nobody is signed in, or because the session is older than its first one.
  let nobody = false;

  function cookie(name) {
    const names = [`__Host-${name}=`, `${name}=`];
    const all = document.cookie.split("; ");
    // A neighbour below the same domain can set the second, and only where we don't set the first.
    const [found] = names.map((start) => all.find((one) => one.startsWith(start))).filter(Boolean);
    return found ? found.slice(found.indexOf("=") + 1) : "";
  }

  function csrfToken() {
    // The cookie first: signing in from another tab has changed it, and not this page.
    return cookie(CSRF) || document.querySelector("[name=csrfmiddlewaretoken]")?.value || "";
  }

  const until = () => cookie(UNTIL);
  const runsOut = () =>
    until() !== "" &&
    Number(until()) - Date.now() < MARGIN_MS &&
    performance.now() - renewedAt > AT_MOST_EVERY_MS;

  // `seen` is the value of lori-until that turned out to be no good.
  function renew(seen) {
    renewing ??= inTurn(async () => {
      // Another tab has done it while this one waited for its turn.
      if (until() !== seen) return;
      const answer = await fetch(renewal, {
        method: "POST",
        headers: { "X-CSRFToken": csrfToken() },
        credentials: "same-origin",
      });
      nobody = answer.status === 401;
      if (answer.ok) renewedAt = performance.now();
    })
      .catch(() => {})
      .finally(() => {
        renewing = null;
      });
    return renewing;
  }

  function inTurn(work) {
    return navigator.locks ? navigator.locks.request("lori-renewal", work) : work();
  }

  async function send(address, options) {
    const headers = new Headers(options.headers);
    headers.set("X-CSRFToken", csrfToken());
    return fetch(address, { ...options, headers, credentials: "same-origin" });
  }

  async function call(address, options = {}) {
    const inside = new URL(address, location.href).origin === location.origin;
    if (!inside || new Headers(options.headers).has("Authorization")) {
      return fetch(address, options);
    }
    if (renewing) await renewing;
    else if (runsOut()) await renew(until());

    const seen = until();
    const answer = await send(address, options);
    if (answer.status !== 401 || (nobody && seen === "")) return answer;
    // Unless a renewal came in between: then it is the answer to the token before.
    if (until() === seen) await renew(seen);
    // Empty: the session has ended.
    return until() === seen || until() === "" ? answer : send(address, options);
  }

  window.lori = { ...window.lori, call };
})();
