/* Calls the API from our pages as the signed-in user: lori.call(address, options) is fetch() with the CSRF
   header, a token that is renewed before it expires, and one retry after a 401.

   The tokens are in HttpOnly cookies. The readable cookie lori-until, which all tabs share, holds the time when
   the access token expires. All open calls, in all tabs, share one renewal. */
"use strict";

(() => {
  // The cookies' names without the prefix that they have on https.
  const CSRF = "csrftoken";
  const UNTIL = "lori-until";
  const renewal = document.currentScript.dataset.renew;
  // Allows for the time that a call takes.
  const MARGIN_MS = 20_000;
  // Keeps a wrong clock on this machine from causing a renewal before every call.
  const AT_MOST_EVERY_MS = 60_000;

  let renewing = null;
  let renewedAt = -Infinity;
  // Whether nobody is signed in. A missing token is no proof: the session may not have its first one yet.
  let nobody = false;

  function cookie(name) {
    const names = [`__Host-${name}=`, `${name}=`];
    const all = document.cookie.split("; ");
    // Another host of the same domain can set the second name, so the first wins if it exists.
    const [found] = names.map((start) => all.find((one) => one.startsWith(start))).filter(Boolean);
    return found ? found.slice(found.indexOf("=") + 1) : "";
  }

  function csrfToken() {
    // The cookie first: signing in from another tab changes it, but not this page.
    return cookie(CSRF) || document.querySelector("[name=csrfmiddlewaretoken]")?.value || "";
  }

  const until = () => cookie(UNTIL);
  const runsOut = () =>
    until() !== "" &&
    Number(until()) - Date.now() < MARGIN_MS &&
    performance.now() - renewedAt > AT_MOST_EVERY_MS;

  // `seen` is the value of lori-until whose token has to be replaced.
  function renew(seen) {
    renewing ??= inTurn(async () => {
      // Another tab renewed it while this one waited for the lock.
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
    // After a renewal in between, the 401 was for the previous token.
    if (until() === seen) await renew(seen);
    // If it is empty, the session has ended.
    return until() === seen || until() === "" ? answer : send(address, options);
  }

  window.lori = { ...window.lori, call };
})();
