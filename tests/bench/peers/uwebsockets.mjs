// uWebSockets: C++ beneath JavaScript, publishing by its own topics; what a tick makes leaves in one write a client.

import uWS from 'uwebsockets';
import { generate, options } from './pace.mjs';

const { port, tick, deflate, variants } = options();
const app = uWS.App().ws('/s/:variant', {
  compression: deflate ? uWS.SHARED_COMPRESSOR : uWS.DISABLED,
  maxBackpressure: 16 * 1024 * 1024, // drops nothing silently
  idleTimeout: 120,
  upgrade: (response, request, context) =>
    response.upgrade(
      { variant: request.getParameter(0) },
      request.getHeader('sec-websocket-key'),
      request.getHeader('sec-websocket-protocol'),
      request.getHeader('sec-websocket-extensions'),
      context,
    ),
  open: (socket) => socket.subscribe(socket.getUserData().variant),
});
app.listen('127.0.0.1', port, (listening) => {
  if (!listening) process.exit(1);
  generate(variants, tick, (text, variant) => app.publish(String(variant), text, false, deflate));
  process.stdout.write('ready\n');
});
