/* Makes Swagger UI call the API as the signed-in user, with lori.call, unless Authorize was given a token. */
"use strict";

// Replaces a library of drf-yasg's that waits for the Authorize button, to add drf-yasg's own sign-in, which we
// don't use. The library adds a style element to the page, which the content security policy forbids.
window.insertionQ = () => ({ every() {} });

(() => {
  const before = swaggerUiConfig.requestInterceptor;
  swaggerUiConfig.requestInterceptor = (request) => {
    const prepared = before(request);
    prepared.userFetch = lori.call;
    return prepared;
  };
})();
