/** A small graph of the last minute. */

const POINTS = 60;
const WIDTH = 96;
const HEIGHT = 22;
const SVG = "http://www.w3.org/2000/svg";

/** Values of the last 60 seconds, the newest last. */
export class Sparkline {
  readonly element: SVGSVGElement;
  readonly #line: SVGPolylineElement;
  readonly #area: SVGPolygonElement;

  constructor() {
    this.element = document.createElementNS(SVG, "svg");
    this.element.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    this.element.setAttribute("class", "spark");
    this.element.setAttribute("aria-hidden", "true");
    this.#area = document.createElementNS(SVG, "polygon");
    this.#line = document.createElementNS(SVG, "polyline");
    this.element.append(this.#area, this.#line);
    this.draw([]);
  }

  draw(values: readonly number[]): void {
    const recent = values.slice(-POINTS);
    const top = Math.max(1, ...recent);
    const step = WIDTH / (POINTS - 1);
    const from = POINTS - recent.length;
    const points = recent.map((value, at) => {
      const x = ((from + at) * step).toFixed(1);
      // The square root keeps a trickle visible beside a burst.
      const y = (HEIGHT - 2 - Math.sqrt(value / top) * (HEIGHT - 4)).toFixed(1);
      return `${x},${y}`;
    });
    const base = HEIGHT - 2;
    this.#line.setAttribute(
      "points",
      points.length > 1 ? points.join(" ") : `0,${base} ${WIDTH},${base}`,
    );
    this.#area.setAttribute(
      "points",
      points.length > 1
        ? `${(from * step).toFixed(1)},${HEIGHT} ${points.join(" ")} ${WIDTH},${HEIGHT}`
        : "",
    );
  }
}
