/* Swagger UI calls the API as whoever is signed in here, by lori.call; a token of its Authorize button wins. */
"use strict";

(() => {
  const before = swaggerUiConfig.requestInterceptor;
  swaggerUiConfig.requestInterceptor = (request) => {
    const prepared = before(request);
    prepared.userFetch = lori.call;
    return prepared;
  };
})();
