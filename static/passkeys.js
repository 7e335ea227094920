// A passkey that was not used, or is not there, is no error of the page: say so beside the button.
"use strict";

document.addEventListener("allauth.error", (event) => {
  const trouble = document.getElementById("passkey-trouble");
  if (trouble) {
    event.preventDefault();
    trouble.hidden = false;
  }
});
