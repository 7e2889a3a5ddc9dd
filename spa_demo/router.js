// @ts-check
/** Which view the address names: `#/devices` is "devices", no fragment is "". */
export const route = () => location.hash.replace(/^#\/?/, "");

/** @param {string} name */
export function go(name) {
  if (route() !== name) location.hash = `#/${name}`;
}

/** @param {() => void} changed */
export const onRoute = (changed) => addEventListener("hashchange", changed);
