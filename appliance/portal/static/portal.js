// What the pages do on top of what they do without script: check the code while it is typed, show the password, count down
// a wait, and tell the server which windows are open. Nothing is stored in the browser.
"use strict";

const byId = (id) => document.getElementById(id);

// -- the access code: 18 digits, the last one a Damm check digit ----------------------------------------------------------

const DAMM = ["0317598642", "7092154863", "4206871359", "1750983426", "6123045978", "3674209581", "5869720134", "8945362017", "9438617205", "2581436790"];
const isCode = (digits) => [...digits].reduce((row, digit) => Number(DAMM[row][digit]), 0) === 0;

const code = byId("code");
if (code) {
  const state = byId("code-state");
  const look = () => {
    const digits = code.value.replace(/\D/g, "");
    // Grouped as in the letter, unless somebody is correcting in the middle of it.
    if (code.selectionStart === code.value.length && !/[^\d\s-]/.test(code.value)) {
      code.value = digits.replace(/(\d{3})(?=\d)/g, "$1 ");
    }
    const kind = digits.length < 18 ? "some" : digits.length > 18 ? "many" : isCode(digits) ? "good" : "typo";
    state.className = "state " + (kind === "good" ? "good" : kind === "some" ? "" : "bad");
    state.textContent = code.dataset[kind].replace("{n}", digits.length);
    code.setAttribute("aria-invalid", String(kind === "typo" || kind === "many"));
  };
  code.addEventListener("input", look);
  if (code.value) look();
}

// -- the password -----------------------------------------------------------------------------------------------------------

const show = byId("show");
if (show) {
  const password = byId("password");
  const words = [show.textContent, show.dataset.hide];
  show.hidden = false;
  show.addEventListener("click", () => {
    const visible = password.type === "password";
    password.type = visible ? "text" : "password";
    show.setAttribute("aria-pressed", String(visible));
    show.textContent = words[Number(visible)];
    password.focus();
  });
  byId("password-form").addEventListener("submit", () => {
    password.type = "password"; // so that the browser does not remember it as ordinary text
  });
}

const wait = byId("wait");
if (wait) {
  const press = document.querySelector("#password-form .main");
  const over = Date.now() + wait.dataset.seconds * 1000;
  press.disabled = true;
  const timer = setInterval(() => {
    const left = Math.ceil((over - Date.now()) / 1000);
    if (left <= 0) {
      clearInterval(timer);
      press.disabled = false;
      wait.textContent = wait.dataset.over;
      byId("password").focus();
    }
  }, 500);
}

// -- open windows -----------------------------------------------------------------------------------------------------------

const { token, ended } = document.body.dataset;
if (token) {
  const HEARTBEAT = 30000;
  const WARN = 75; // seconds before the end
  const page = [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const staying = byId("staying");
  let active = false;

  const form = () => new URLSearchParams({ token, page, active: active ? "1" : "0" });
  const here = async () => {
    const body = form();
    active = false;
    try {
      const answer = await fetch("/here", { method: "POST", body });
      if (answer.status === 403) return location.replace(ended);
      if (answer.ok) staying.hidden = Number(await answer.text()) > WARN;
    } catch {
      // No network just now: the next heartbeat tries again.
    }
  };
  const act = () => {
    active = true;
    if (!staying.hidden) here();
  };

  here();
  setInterval(here, HEARTBEAT);
  for (const kind of ["pointerdown", "keydown", "wheel", "scroll", "touchmove"]) addEventListener(kind, act, { passive: true });
  byId("stay").addEventListener("click", act);
  addEventListener("pagehide", () => navigator.sendBeacon("/gone", form()));
  addEventListener("pageshow", (event) => event.persisted && here());
  document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && here());
}
