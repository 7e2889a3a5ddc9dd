// @ts-check
/** Where the API lives: `<meta name="coatcheck-api" content="https://api.example.com">`; empty means this origin. */
const tag = document.querySelector('meta[name="coatcheck-api"]');

export const API = (tag?.getAttribute("content") ?? "").replace(/\/+$/, "");
