// Rooms on socket.io, WebSocket alone, as its documentation broadcasts: io.to(room).emit(), which encodes once for all of a room.
//
//     node socketio_server.mjs PORT          "sub" ROOM joins, "pub" ROOM BODY makes everybody in it hear "m" BODY
import { createServer } from 'node:http';
import { Server } from 'socket.io';

const port = Number(process.argv[2]);
const http = createServer();
const io = new Server(http, {
    transports: ['websocket'],
    perMessageDeflate: false,
    httpCompression: false,
    serveClient: false,
    maxHttpBufferSize: 2 * 1024 * 1024,
    pingInterval: 120000, // no heart-beat in a measurement: the others have none either
});

io.on('connection', (socket) => {
    socket.on('sub', (room, joined) => {
        socket.join(room);
        joined();
    });
    socket.on('pub', (room, body) => io.to(room).emit('m', body));
});
http.listen({ port, host: '127.0.0.1', backlog: 1024 }, () => console.log(`listener.open port=${port}`));
