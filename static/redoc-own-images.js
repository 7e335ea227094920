// Redoc fetches its maker's logo from its maker's server, and has no setting against that. Here an
// image from elsewhere counts as one that can't be loaded, and Redoc leaves such a logo out.
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

  // React sets the attribute, and then the property.
  Object.defineProperty(images, "src", { ...source, set(address) { show(this, address); } });
  images.setAttribute = function (name, value) {
    if (name === "src") {
      show(this, value);
    } else {
      Element.prototype.setAttribute.call(this, name, value);
    }
  };
})();
