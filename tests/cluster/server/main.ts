/** Entry of the bundle that Node runs; one file, three roles. */
import process from "node:process";
import { runCluster } from "./cluster_process.ts";
import { runGateway } from "./gateway.ts";
import { runPods } from "./pod_process.ts";

const role = process.argv[2];
if (role === "api") await runCluster();
else if (role === "gateway") runGateway();
else if (role === "pods") runPods();
else throw new Error(`No such role: "${role}"`);
