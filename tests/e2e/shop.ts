/** One web service in the namespace `shop`, and more Services made while a session is open. */
import { deployment, service } from "../cluster/mod.ts";
import { untilAnswer } from "./facts.ts";
import type { Scene } from "./scene.ts";

export const ns = "shop";

const web = (name: string) =>
  service(ns, name, "web", [{ name: "http", port: 80, targetPort: 8080 }]);

export const shop = [
  deployment(ns, "web", { programs: ["http=8080"], ports: { http: 8080 } }),
  web("web"),
];

/** The session notices a new Service, so its watches live. */
export async function follows({ cluster, box }: Scene, name: string, ms = 20_000): Promise<void> {
  await cluster.control.apply({ objects: [web(name)] });
  await untilAnswer(box, `http://${name}.${ns}/`, /^Hello from web-/, ms);
}
