/** The two pure questions of node:net, for rooms that may not open sockets. */
export { isIPv4, isIPv6 } from "node:net";
