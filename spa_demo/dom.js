// @ts-check
/** The page is made of `<template>`s and text. Nothing here parses HTML, so nothing said by anybody can become markup. */

/** @param {string} id @returns {HTMLElement} a fresh copy of the template's one element */
export function clone(id) {
  const template = /** @type {HTMLTemplateElement} */ (document.getElementById(id));
  return /** @type {HTMLElement} */ (document.importNode(template.content, true).firstElementChild);
}

/**
 * The element marked `data-part="name"`.
 * @template {HTMLElement} [T=HTMLElement] @param {ParentNode} root @param {string} name @returns {T}
 */
export function part(root, name) {
  const found = root.querySelector(`[data-part="${name}"]`);
  if (!found) throw new Error(`no part ${name}`);
  return /** @type {T} */ (found);
}

/** @param {ParentNode} root @param {Record<string, string>} texts part name -> text */
export function say(root, texts) {
  for (const [name, text] of Object.entries(texts)) part(root, name).textContent = text;
}

/** @param {HTMLElement} element @param {string} name the symbol in index.html */
export function icon(element, name) {
  element.querySelector("use")?.setAttribute("href", `#i-${name}`);
}

/**
 * A time in words, with the exact one on hover.
 * @param {HTMLElement} element @param {string} at @param {string} words
 */
export function when(element, at, words) {
  element.textContent = words;
  element.setAttribute("datetime", at);
  element.title = new Date(at).toLocaleString("en-GB", { dateStyle: "full", timeStyle: "medium" });
}
