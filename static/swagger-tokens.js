/* Swagger UI calls the API as whoever is signed in here, by lori.call; a token of its Authorize button wins. */
"use strict";

// Waits for the button beside which drf-yasg would put its own sign-in, which we don't use; the library that
// drf-yasg brings for it writes a style element into the page, against the security policy.
window.insertionQ = () => ({ every() {} });

(() => {
  const before = swaggerUiConfig.requestInterceptor;
  swaggerUiConfig.requestInterceptor = (request) => {
    const prepared = before(request);
    prepared.userFetch = lori.call;
    return prepared;
  };
})();
