// @ts-check
/** The server's picture, drawn anew: its outline is read as text, so nothing it says can become markup. */

const SVG = "http://www.w3.org/2000/svg";

/** @param {string} picture an `<svg>` element as the server writes it */
export function qr(picture) {
  const size = Number(/viewBox="0 0 (\d+) \d+"/.exec(picture)?.[1]);
  const outline = /stroke="#000" d="([Mmhv\d .-]+)"/.exec(picture)?.[1];
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${size} ${size}`);
  svg.setAttribute("class", "qr");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", "Picture to scan with your authenticator app");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", outline ?? "");
  svg.append(path);
  return svg;
}
