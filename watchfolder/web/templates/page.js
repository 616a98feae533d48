"use strict";
// Fetches the page again and changes only what has changed: no flicker, no jump, no picture loaded twice.
(() => {
  const SECONDS = 2;
  const silent = document.getElementById("silent");
  const refused = document.getElementById("refused");

  const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.getAttribute("data-key") : null);
  const isAlike = (one, other) =>
    one && one.nodeType === other.nodeType && one.nodeName === other.nodeName && keyOf(one) === keyOf(other);

  function morph(old, fresh) {
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
      return;
    }
    for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of [...fresh.attributes])
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    let place = old.firstChild;
    for (const child of [...fresh.childNodes]) {
      if (!isAlike(place, child)) {
        let later = place;
        while (later && !isAlike(later, child)) later = later.nextSibling;
        place = old.insertBefore(later || document.importNode(child, true), place);
      }
      morph(place, child);
      place = place.nextSibling;
    }
    while (place) {
      const next = place.nextSibling;
      place.remove();
      place = next;
    }
  }

  async function update() {
    try {
      const answer = await fetch("/main", { cache: "no-store" });
      if (!answer.ok) throw new Error(answer.status);
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      const main = fresh.querySelector("main");
      morph(document.querySelector("main"), main);
      document.title = main.dataset.title;
      silent.hidden = true;
    } catch {
      silent.hidden = false;
    }
  }

  async function keepUpdating() {
    if (!document.hidden) await update();
    setTimeout(keepUpdating, SECONDS * 1000);
  }

  document.addEventListener("visibilitychange", () => document.hidden || update());
  document.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = event.target.querySelector("button");
    button.disabled = true;
    refused.hidden = true;
    try {
      const body = new URLSearchParams(new FormData(event.target));
      const answer = await fetch(event.target.action, { method: "POST", body });
      if (!answer.ok) refused.textContent = await answer.text();
      refused.hidden = answer.ok;
    } catch {
      silent.hidden = false;
    }
    button.disabled = false;
    await update();
  });
  setTimeout(keepUpdating, SECONDS * 1000);
})();
