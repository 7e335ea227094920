// Redoc loads its maker's logo from another server and has no setting to prevent that. Here an image from
// another origin counts as failed to load, and Redoc then leaves the logo out.
"use strict";

(() => {
  const images = HTMLImageElement.prototype;
  const source = Object.getOwnPropertyDescriptor(images, "src");

  function show(image, address) {
    const { origin, protocol } = new URL(address, location.href);
    if (origin === location.origin || protocol === "data:" || protocol === "blob:") {
      source.set.call(image, address);
    } else {
      setTimeout(() => image.dispatchEvent(new Event("error")));
    }
  }

  // React sets the attribute and then the property.
  Object.defineProperty(images, "src", { ...source, set(address) { show(this, address); } });
  images.setAttribute = function (name, value) {
    if (name === "src") {
      show(this, value);
    } else {
      Element.prototype.setAttribute.call(this, name, value);
    }
  };
})();
