// CONNECT in all its forms, what comes before it, what is no frame, and how a connection ends.
const text = String.raw;

const RAW = { a: null };
const LOGIN = 'host:$vhost|login:guest|passcode:guest';

const connect = (name, headers, command = 'CONNECT') => ({
    name: `${command} with ${name}`,
    clients: RAW,
    script: text`
        a> ${command}|${headers}
        a< CONNECTED`,
});
const malformed = (name, bytes, clients = {}) => ({
    name: `malformed: ${name}`,
    clients,
    script: text`
        a>> ${bytes}
        a< ERROR`,
    patience: 3000,
});

export default [
    connect('version 1.0', `accept-version:1.0|${LOGIN}`),
    connect('version 1.1', `accept-version:1.1|${LOGIN}`),
    connect('version 1.2', `accept-version:1.2|${LOGIN}`),
    connect('all versions', `accept-version:1.0,1.1,1.2|${LOGIN}`),
    connect('versions of others', `accept-version:0.9,1.1,2.0|${LOGIN}`),
    connect('blanks between versions', `accept-version:1.0, 1.1, 1.2|${LOGIN}`),
    connect('no version', LOGIN),
    connect('an unknown version', `accept-version:1.3|${LOGIN}`),
    connect('an empty version', `accept-version:|${LOGIN}`),
    connect('all versions', `accept-version:1.0,1.1,1.2|${LOGIN}`, 'STOMP'),
    connect('a receipt', `accept-version:1.2|receipt:r|${LOGIN}`),
    connect('heart-beats both ways', `accept-version:1.2|heart-beat:4000,7000|${LOGIN}`),
    connect('a heart-beat from the client alone', `accept-version:1.2|heart-beat:20000,0|${LOGIN}`),
    connect('a heart-beat from the server alone', `accept-version:1.2|heart-beat:0,30000|${LOGIN}`),
    connect('a heart-beat under a second', `accept-version:1.2|heart-beat:100,200|${LOGIN}`),
    connect('heart-beats in 1.0', `heart-beat:4000,7000|${LOGIN}`),
    connect('a heart-beat of one number', `accept-version:1.2|heart-beat:1000|${LOGIN}`),
    connect('a heart-beat of words', `accept-version:1.2|heart-beat:a,b|${LOGIN}`),
    connect('a wrong password', 'accept-version:1.2|host:$vhost|login:guest|passcode:nope'),
    connect('an unknown user', 'accept-version:1.2|host:$vhost|login:nobody|passcode:guest'),
    connect('no password', 'accept-version:1.2|host:$vhost|login:guest'),
    connect('an empty login', 'accept-version:1.2|host:$vhost|login:|passcode:'),
    connect('no login', 'accept-version:1.2|host:$vhost'),
    connect('an unknown virtual host', 'accept-version:1.2|host:nowhere|login:guest|passcode:guest'),
    connect('a backslash in the password', text`accept-version:1.2|host:$vhost|login:slash|passcode:a\\nb`),
    connect('headers that nobody knows', `accept-version:1.2|foo:bar|client-id:c|${LOGIN}`),
    connect('a repeated login', `accept-version:1.2|login:guest|passcode:guest|login:nobody|passcode:nope|host:$vhost`),
    {
        name: 'a second try after a wrong password',
        clients: RAW,
        script: text`
            a> CONNECT|accept-version:1.2|host:$vhost|login:guest|passcode:nope
            a< ERROR
            a> CONNECT|accept-version:1.2|${LOGIN}
            a< CONNECTED`,
    },
    {
        name: 'a second CONNECT',
        script: text`
            a> CONNECT|accept-version:1.2|${LOGIN}|receipt:r
            a< ERROR`,
    },
    ...['SEND|destination:/queue/$q', 'SUBSCRIBE|id:s|destination:/queue/$q', 'DISCONNECT|receipt:d', 'HELLO'].map((frame) => ({
        name: `before CONNECT: ${frame}`,
        clients: RAW,
        script: text`
            a> ${frame}
            a< ERROR`,
    })),
    {
        name: 'frames in the bytes of CONNECT',
        clients: RAW,
        script: text`
            a>> CONNECT\naccept-version:1.2\nhost:$vhost\nlogin:guest\npasscode:guest\n\n\0SEND\ndestination:/queue/$q\nreceipt:r\n\nx\0
            a< CONNECTED
            a< RECEIPT
            count $q 1`,
    },
    {
        name: 'line feeds before CONNECT, carriage returns in it',
        clients: RAW,
        script: text`
            a>> \n\r\n\nCONNECT\r\naccept-version:1.2\r\nhost:$vhost\r\nlogin:guest\r\npasscode:guest\r\n\r\n\0\r\n\n
            a< CONNECTED`,
    },
    ...['HELLO', 'send', 'MESSAGE', 'CONNECTED', 'RECEIPT', 'ERROR'].map((command) => ({
        name: `a command that is none: ${command}`,
        script: text`
            a> ${command}|receipt:r
            a< ERROR`,
    })),
    malformed('a header without a colon', text`SEND\ndestination\n\n\0`),
    malformed('an undefined escape', text`SEND\ndestination:/queue/a\\t\n\n\0`),
    malformed('a carriage return alone', text`SEND\rdestination:/queue/a\n\n\0`),
    malformed('a NUL among the headers', text`SEND\ndestination:/queue/a\0foo:bar\n\n\0`),
    malformed('a content-length that is no number', text`SEND\ndestination:/queue/a\ncontent-length:x\n\nbody\0`),
    malformed('a negative content-length', text`SEND\ndestination:/queue/a\ncontent-length:-1\n\nbody\0`),
    malformed('a body longer than its content-length', text`SEND\ndestination:/queue/a\ncontent-length:2\n\nbody\0`),
    malformed('a header without a name', text`SEND\n:value\ndestination:/queue/$q\n\n\0`),
    malformed('HTTP', text`GET / HTTP/1.1\r\nHost: here\r\n\r\n\0`, RAW),
    malformed('JSON', text`{"type":"connect"}\n\n\0`, RAW),
    {
        name: 'a body on a frame that has none',
        script: text`
            a> SUBSCRIBE|id:s|destination:/queue/$q|receipt:r||body
            a< RECEIPT`,
    },
    {
        name: 'DISCONNECT with a receipt',
        script: text`
            a> DISCONNECT|receipt:d
            a< RECEIPT
            a! closed`,
    },
    {
        name: 'DISCONNECT without a receipt',
        script: text`
            a> DISCONNECT
            a! closed`,
    },
    {
        name: 'frames behind DISCONNECT',
        script: text`
            a>> DISCONNECT\nreceipt:d\n\n\0SEND\ndestination:/queue/$q\nreceipt:r\n\nx\0
            a< RECEIPT
            a! closed
            look $q`,
    },
    {
        name: 'DISCONNECT behind SENDs: they were sent',
        script: text`
            a>> SEND\ndestination:/queue/$q\n\n1\0SEND\ndestination:/queue/$q\n\n2\0DISCONNECT\nreceipt:d\n\n\0
            a< RECEIPT
            a! closed
            count $q 2`,
    },
    {
        name: 'a receipt of every frame',
        script: text`
            a> SUBSCRIBE|id:s|destination:/queue/$q|receipt:1|ack:client-individual
            a< RECEIPT
            a> BEGIN|transaction:t|receipt:2
            a< RECEIPT
            a> ABORT|transaction:t|receipt:3
            a< RECEIPT
            a> SEND|destination:/queue/$q|receipt:4||x
            a< RECEIPT MESSAGE
            a> NACK|id:$a.ack|receipt:5
            a< RECEIPT MESSAGE
            a> ACK|id:$a.ack|receipt:6
            a< RECEIPT
            a> UNSUBSCRIBE|id:s|receipt:7
            a< RECEIPT
            a> BEGIN|transaction:t|receipt:8
            a< RECEIPT
            a> COMMIT|transaction:t|receipt:9
            a< RECEIPT`,
    },
    {
        name: 'receipts with escapes, empty and repeated',
        script: text`
            a> SUBSCRIBE|id:1|destination:/queue/$q|receipt:a\\nb\\cc\\\\d
            a< RECEIPT
            a> UNSUBSCRIBE|id:1|receipt:
            a< RECEIPT
            a> BEGIN|transaction:x|receipt:first|receipt:second
            a< RECEIPT`,
    },
];
