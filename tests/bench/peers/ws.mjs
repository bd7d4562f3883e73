// Node's `ws`, as its README broadcasts: a loop over the clients.

import { WebSocketServer } from 'ws';
import { generate, options } from './pace.mjs';

const { port, tick, deflate, variants } = options();
const clients = Array.from({ length: variants }, () => new Set());
const server = new WebSocketServer({
  host: '127.0.0.1',
  port,
  backlog: 4096,
  perMessageDeflate: deflate && { threshold: 0 },
});
server.on('connection', (socket, request) => {
  const those = clients[Number(request.url.split('/')[2])];
  those.add(socket);
  socket.on('close', () => those.delete(socket));
  socket.on('error', () => {});
});
server.on('listening', () => {
  generate(variants, tick, (text, variant) => {
    const data = Buffer.from(text); // once, not once a client
    for (const socket of clients[variant]) if (socket.readyState === 1) socket.send(data, { binary: false });
  });
  process.stdout.write('ready\n');
});
