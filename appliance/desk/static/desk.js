// Comfort only: every page works without this file.
"use strict";

// Copying a link or a password. Away from https and localhost there is no clipboard interface, only the old command.
for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const source = document.getElementById(button.dataset.copy);
    let copied = false;
    try {
      await navigator.clipboard.writeText(source.textContent.trim());
      copied = true;
    } catch {
      getSelection().selectAllChildren(source);
      copied = document.execCommand("copy");
    }
    if (copied) button.lastChild.textContent = button.dataset.done;
  });
}

// A form that makes something is sent once, however often its button is pressed.
for (const form of document.querySelectorAll("form[data-once]")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
  });
}
addEventListener("pageshow", () => document.querySelectorAll("form[data-once]").forEach((form) => delete form.dataset.sent));

// Dropping a PDF anywhere on its form, and saying at once that it is too large.
for (const form of document.querySelectorAll("form[data-drop]")) {
  const input = form.querySelector("input[type=file]");
  const check = () => {
    const tooLarge = input.files[0]?.size > Number(form.dataset.limit);
    input.setCustomValidity(tooLarge ? form.querySelector("[data-too-large]").dataset.tooLarge : "");
    if (tooLarge) input.reportValidity();
  };
  input.addEventListener("change", check);
  form.addEventListener("dragover", (event) => {
    event.preventDefault();
    form.classList.add("over");
  });
  form.addEventListener("dragleave", () => form.classList.remove("over"));
  form.addEventListener("drop", (event) => {
    event.preventDefault();
    form.classList.remove("over");
    input.files = event.dataTransfer.files;
    check();
  });
}

// In the list: arrow down from the search to the first study, up and down between them.
const search = document.getElementById("words");
addEventListener("keydown", (event) => {
  if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
  const links = [...document.querySelectorAll(".list tbody th a")];
  const here = document.activeElement === search ? -1 : links.indexOf(document.activeElement);
  if (here === -1 && document.activeElement !== search) return;
  const next = event.key === "ArrowDown" ? links[here + 1] : here === 0 ? search : links[here - 1];
  if (next) {
    next.focus();
    event.preventDefault();
  }
});

// News without reloading: the parts of the page that may change are fetched again. Nobody is at the keyboard for that.
if (document.querySelector("[data-live]")) {
  setInterval(async () => {
    if (document.hidden) return;
    let response;
    try {
      response = await fetch(location.pathname, { headers: { "X-Live": "1" }, redirect: "manual", cache: "no-store" });
    } catch {
      return; // the desk is being restarted
    }
    if (response.type === "opaqueredirect") return location.reload(); // the session is over: to the login
    if (!response.ok) return;
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    for (const part of document.querySelectorAll("[data-live]")) {
      const now = fresh.querySelector(`[data-live="${part.dataset.live}"]`);
      if (!now || now.innerHTML === part.innerHTML) continue;
      const focused = part.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
      part.replaceChildren(...now.childNodes);
      if (focused) part.querySelector(`a[href="${focused}"]`)?.focus();
    }
  }, 5000);
}

// An abandoned screen shows nobody's name: when the session has run out, the page goes to the login.
if (document.body.dataset.idle) {
  let seen = Date.now();
  for (const kind of ["pointerdown", "keydown"]) addEventListener(kind, () => (seen = Date.now()), { passive: true });
  setInterval(() => Date.now() - seen > Number(document.body.dataset.idle) * 1000 + 5000 && location.reload(), 10000);
}
