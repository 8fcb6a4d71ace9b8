// Rooms on `ws`, as its documentation broadcasts: a loop over the clients, each given the same Buffer. No deflate, no UTF-8 check.
//
//     node ws_server.mjs PORT          ws://127.0.0.1:PORT/sub/ROOM hears what comes in at /pub/ROOM
import { WebSocket, WebSocketServer } from 'ws';

const port = Number(process.argv[2]);
const rooms = new Map();

function roomOf(name) {
    let room = rooms.get(name);
    if (!room) {
        room = new Set();
        rooms.set(name, room);
    }
    return room;
}

function publish(room, data, binary) {
    for (const client of room) {
        if (client.readyState === WebSocket.OPEN) {
            client.send(data, { binary });
        }
    }
}

const server = new WebSocketServer({ host: '127.0.0.1', port, perMessageDeflate: false, skipUTF8Validation: true, backlog: 1024 });
server.on('connection', (client, request) => {
    const [, verb, name] = request.url.split('/');
    const room = roomOf(name);
    client.on('error', () => client.terminate());
    if (verb === 'pub') {
        client.on('message', (data, binary) => publish(room, data, binary));
        return;
    }
    room.add(client);
    client.on('close', () => room.delete(client));
});
server.on('listening', () => console.log(`listener.open port=${port}`));
