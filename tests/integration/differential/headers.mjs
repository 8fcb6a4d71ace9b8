// Headers of SEND become properties of AMQP, and properties and headers of AMQP become headers of MESSAGE.
const text = String.raw;

// As AMQP sees it, and as a subscriber does.
const property = (headers, name = headers) => ({
    name: `SEND with ${name}`,
    script: text`
        a> SEND|destination:/queue/$q|${headers}||x
        a! sync
        count $q 1
        get $q
        a> SEND|destination:/queue/$q|${headers}||x
        a> SUBSCRIBE|id:s|destination:/queue/$q|receipt:s
        a< RECEIPT
        a< MESSAGE`,
});
const refused = (headers, name = headers) => ({
    name: `SEND with ${name}`,
    script: text`
        a> SEND|destination:/queue/$q|${headers}|receipt:r||x
        a< RECEIPT`,
});
const published = (name, options) => ({
    name: `published by AMQP: ${name}`,
    script: text`
        a> SUBSCRIBE|id:s|destination:/queue/$q|receipt:s
        a< RECEIPT
        amqp ${JSON.stringify({ key: '$q', ...options })}
        a< MESSAGE`,
});
const shared = (name, options) => ({
    name: `published by AMQP to a topic: ${name}`,
    script: text`
        a> SUBSCRIBE|id:s|destination:/topic/$t|receipt:s
        a< RECEIPT
        amqp ${JSON.stringify({ exchange: 'amq.topic', key: '$t', ...options })}
        a< MESSAGE`,
});
const typed = (type, value) => ({ headers: { h: { '!': type, value } } });

export default [
    property('content-type:text/plain;charset=utf-8'),
    property('content-encoding:gzip'),
    property('correlation-id:c-1'),
    property('expiration:600000'),
    property('type:news'),
    property('app-id:shop'),
    property('priority:3'),
    property('timestamp:1700000000'),
    property('persistent:true'),
    property('user-id:guest'),
    property('reply-to:/queue/answers'),
    property('reply-to:/topic/answers'),
    property('reply-to:/exchange/x/k'),
    property('reply-to:/amq/queue/answers'),
    property('reply-to:/reply-queue/answers'),
    property('foo:bar|x-own:1|Upper-Case:y'),
    property('foo:first|foo:second', 'a repeated header'),
    property('foo:'),
    property('foo:a:b'),
    property('foo: blanks '),
    property(text`foo:a\\nb\\cc\\\\d|na\\cme:v`, 'escapes'),
    property('föö:bär€', 'UTF-8'),
    property('content-length:1'),
    property('id:7|ack:client|subscription:other|redelivered:true|gap:true', 'names of MESSAGE'),
    property('amqp-message-id:m-1'),
    property('delivery-mode:2'),
    property('login:me|passcode:secret', 'names of CONNECT'),
    property('priority: 3 ', 'blanks around a number'),
    refused('message-id:m-1'),
    refused('priority:high'),
    refused('priority:-1'),
    refused('priority:256'),
    refused('timestamp:now'),
    refused('timestamp:-5'),
    refused('expiration:soon'),
    refused('expiration:-1'),
    refused('expiration:99999999999'),
    refused('user-id:somebody'),
    refused('reply-to:/foo/bar'),
    refused('reply-to:nowhere'),
    refused('CC:other'),
    refused('BCC:other'),
    refused(`type:${'x'.repeat(256)}`, 'a property of 256 bytes'),
    {
        name: 'blanks of 1.0 are trimmed in front',
        clients: { a: '1.0' },
        script: text`
            a> SEND|destination: /queue/$q|foo:  bar |receipt: r||x
            a< RECEIPT
            a> SUBSCRIBE|id:s|destination:/queue/$q|receipt:s
            a< RECEIPT
            a< MESSAGE`,
    },
    {
        name: 'escapes in 1.0',
        clients: { a: '1.0' },
        script: text`
            a> SEND|destination:/queue/$q|foo:a\\cb|receipt:r||x
            a< RECEIPT
            get $q`,
    },
    {
        name: '\\r is an escape of 1.1 as well',
        clients: { a: '1.1' },
        script: text`
            a> SUBSCRIBE|id:s|destination:/queue/$q|receipt:s
            a< RECEIPT
            a> SEND|destination:/queue/$q|foo:a\\rb||x
            a< MESSAGE`,
    },
    {
        name: 'a body with NULs and line feeds',
        script: text`
            a> SUBSCRIBE|id:s|destination:/queue/$q|receipt:s
            a< RECEIPT
            a>> SEND\ndestination:/queue/$q\ncontent-length:6\n\na\0b\n\0|\0
            a< MESSAGE`,
    },
    {
        name: 'a body that is not UTF-8',
        script: text`
            a> SUBSCRIBE|id:s|destination:/queue/$q|receipt:s
            a< RECEIPT
            a> SEND|destination:/queue/$q||\xff\xfe\x80
            a< MESSAGE`,
    },
    {
        name: 'an empty body',
        script: text`
            a> SUBSCRIBE|id:s|destination:/queue/$q|receipt:s
            a< RECEIPT
            a> SEND|destination:/queue/$q
            a< MESSAGE`,
    },
    {
        name: 'an empty body with content-length',
        script: text`
            a> SUBSCRIBE|id:s|destination:/queue/$q|receipt:s
            a< RECEIPT
            a> SEND|destination:/queue/$q|content-length:0
            a< MESSAGE`,
    },
    published('nothing but a body', {}),
    published('text', { headers: { h: 'text' } }),
    published('an empty text', { headers: { h: '' } }),
    published('bytes that a header must escape', { headers: { 'h:\n': 'a:b\nc\r\\' } }),
    published('true and false', { headers: { yes: true, no: false } }),
    published('a byte', typed('int8', -3)),
    published('a short', typed('int16', -300)),
    published('an int', typed('int', -70000)),
    published('a long', typed('long', 5000000000)),
    published('a double', typed('double', 1.5)),
    published('a float', typed('float', 0.25)),
    published('a timestamp', typed('timestamp', 1700000000)),
    published('nothing at all', { headers: { h: null } }),
    published('a table', { headers: { h: { a: 'b', n: 70000, deep: { c: true } } } }),
    published('an array', { headers: { h: ['a', 70000, { b: 'c' }] } }),
    published('all properties', {
        headers: { h: 'x' },
        contentType: 'text/plain',
        contentEncoding: 'gzip',
        deliveryMode: 2,
        priority: 7,
        correlationId: 'c',
        replyTo: 'answers',
        expiration: '600000',
        messageId: 'm',
        timestamp: 1700000000,
        type: 't',
        userId: 'guest',
        appId: 'app',
    }),
    published('delivery mode 1', { deliveryMode: 1 }),
    published('a reply-to that is a destination', { replyTo: '/topic/answers' }),
    published('headers with the names of the frame', {
        headers: { subscription: 'x', destination: 'x', 'message-id': 'x', redelivered: 'x', ack: 'x', 'content-length': '9' },
    }),
    shared('nothing but a body', {}),
    shared('all properties', {
        headers: { h: 'x', n: 70000 },
        contentType: 'text/plain',
        contentEncoding: 'gzip',
        deliveryMode: 2,
        priority: 7,
        correlationId: 'c',
        replyTo: 'answers',
        expiration: '600000',
        messageId: 'm',
        timestamp: 1700000000,
        type: 't',
        userId: 'guest',
        appId: 'app',
    }),
    shared('scalars', { headers: { yes: true, byte: { '!': 'int8', value: 1 }, double: 1.5, time: { '!': 'timestamp', value: 9 } } }),
    {
        name: 'what a dead letter tells of itself',
        script: text`
            make $d
            make $q {"messageTtl": 1, "deadLetterExchange": "", "deadLetterRoutingKey": "$d"}
            a> SUBSCRIBE|id:s|destination:/queue/$d|receipt:s
            a< RECEIPT
            a> SEND|destination:/amq/queue/$q|foo:bar||x
            a< MESSAGE`,
    },
];
