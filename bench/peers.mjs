// What is measured: each peer is started, tells how loadgen reaches it and which processes are its, and is stopped by pid.
//
// Each gives { args of loadgen, pids, stop }. A fresh process each time, so that memory is that of this measurement alone; the broker
// alone goes on, as it would in life. The context: { services, bin, dir, port, tlsPort, threads, tls: { cert, key } }.
import { floor, gather } from './peers/floor.mjs';
import { gateway, plugin } from './peers/gateway.mjs';
import { nchan } from './peers/nginx.mjs';
import { socketio, ws } from './peers/node.mjs';

export { Unavailable, cpuShare, quiet, root, sleep, stopServers } from './peers/process.mjs';
export { Services } from './peers/services.mjs';

export const peers = { gateway, plugin, nchan, ws, socketio, floor, gather };
