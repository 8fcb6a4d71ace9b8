// Queues of subscriptions: durable ones, named ones, shaped ones; what becomes of them.
const text = String.raw;

const LEFT = text`
    a> DISCONNECT|receipt:d
    a< RECEIPT
    a! closed`;

// A queue that SUBSCRIBE and SEND shape in the same way.
const shaped = (header) => [
    {
        name: `SUBSCRIBE to a queue with ${header}`,
        script: text`
            a> SUBSCRIBE|id:s|destination:/queue/$q|${header}|receipt:s
            a< ${/:-1/.test(header) ? 'ERROR RECEIPT' : 'RECEIPT'}
            look $q`,
    },
    {
        name: `SEND to a queue with ${header}`,
        script: text`
            a> SEND|destination:/queue/$q|${header}|receipt:s||x
            a< RECEIPT
            look $q`,
    },
];
// Whether the queue outlives its subscriber.
const stays = (headers) => /auto-delete:false/.test(headers) && /durable/.test(headers);
const ofTopic = (headers) => ({
    name: `SUBSCRIBE to a topic with ${headers}`,
    script: text`
        a> SUBSCRIBE|id:s|destination:/topic/$t|${headers}|receipt:s
        a< RECEIPT
        look amq.topic $t
        a> SEND|destination:/topic/$t||x
        a< MESSAGE
        ${LEFT}
        ${stays(headers) ? 'look' : 'left'} amq.topic $t`,
});
const ofExchange = (headers) => ({
    name: `SUBSCRIBE to an exchange with ${headers}`,
    script: text`
        exchange $x direct
        a> SUBSCRIBE|id:s|destination:/exchange/$x/$k|${headers}|receipt:s
        a< RECEIPT
        look $x $k
        ${LEFT}
        ${stays(headers) ? 'look' : 'left'} $x $k`,
});

export default [
    ...shaped('x-message-ttl:60000'),
    ...shaped('x-expires:60000'),
    ...shaped('x-max-length:10'),
    ...shaped('x-max-length-bytes:1000'),
    ...shaped('x-max-priority:5'),
    ...shaped('x-dead-letter-exchange:dead'),
    ...shaped('x-dead-letter-exchange:dead|x-dead-letter-routing-key:letters'),
    ...shaped('x-queue-type:classic'),
    ...shaped('x-queue-type:quorum'),
    ...shaped('x-overflow:reject-publish'),
    ...shaped('x-single-active-consumer:true'),
    ...shaped('x-message-ttl:long'),
    ...shaped('x-max-length:-1'),
    ...shaped('x-max-length: 10 '),
    ...shaped('durable:false|auto-delete:true|exclusive:false'),
    ...shaped('auto-delete:true'),
    ...shaped('exclusive:true'),
    ...shaped('durable:maybe'),
    ...shaped('x-own:1'),
    {
        name: 'persistent:false on SEND to a queue that exists',
        script: text`
            make $q
            a> SEND|destination:/queue/$q|persistent:false|receipt:r||x
            a< RECEIPT
            count $q 1`,
    },
    {
        name: 'persistent:false on SEND to a queue that does not exist',
        script: text`
            a> SEND|destination:/queue/$q|persistent:false|receipt:r||x
            a< RECEIPT
            look $q`,
    },
    {
        name: 'the second SEND of a session with other arguments',
        script: text`
            a> SEND|destination:/queue/$q|receipt:1||x
            a< RECEIPT
            a> SEND|destination:/queue/$q|x-message-ttl:60000|receipt:2||x
            a< RECEIPT
            look $q`,
    },
    {
        name: 'a queue that exists with other arguments: SEND',
        script: text`
            make $q {"maxPriority": 5}
            a> SEND|destination:/queue/$q|receipt:r||x
            a< ERROR`,
    },
    {
        name: 'a queue that exists with other arguments: SUBSCRIBE',
        script: text`
            make $q {"durable": false}
            a> SUBSCRIBE|id:s|destination:/queue/$q|receipt:s
            a< ERROR RECEIPT`,
    },
    {
        name: 'a queue that belongs to another connection',
        script: text`
            make $q {"exclusive": true}
            a> SUBSCRIBE|id:s|destination:/queue/$q|receipt:s
            a< ERROR RECEIPT`,
    },
    ofTopic('durable:true'),
    ofTopic('persistent:true'),
    ofTopic('durable:True'),
    ofTopic('durable:true|auto-delete:false'),
    ofTopic('durable:true|auto-delete:false|exclusive:false|x-message-ttl:60000'),
    ofTopic('x-queue-name:$n'),
    ofTopic('x-queue-name:$n|durable:true|auto-delete:false'),
    ofTopic('auto-delete:false|x-expires:60000'),
    ofTopic('x-message-ttl:60000'),
    ofExchange('durable:true'),
    ofExchange('durable:true|auto-delete:false|exclusive:false'),
    ofExchange('ack:client'),
    ofExchange('x-queue-name:$n'),
    {
        name: 'durable:true without an id',
        clients: { a: '1.0' },
        script: text`
            a> SUBSCRIBE|destination:/topic/$t|durable:true|receipt:s
            a< RECEIPT`,
    },
    {
        name: 'a durable subscription collects while nobody is there',
        script: text`
            a> SUBSCRIBE|id:s|destination:/topic/$t|durable:true|auto-delete:false|receipt:s
            a< RECEIPT
            ${LEFT}
            b> SEND|destination:/topic/$t|receipt:r||while away
            b< RECEIPT
            c> SUBSCRIBE|id:s|destination:/topic/$t|durable:true|auto-delete:false|receipt:s
            c< RECEIPT
            c< MESSAGE
            c> UNSUBSCRIBE|id:s|receipt:u
            c< RECEIPT
            look amq.topic $t`,
    },
    {
        name: 'UNSUBSCRIBE with durable:true deletes the queue',
        script: text`
            a> SUBSCRIBE|id:s|destination:/topic/$t|durable:true|auto-delete:false|receipt:s
            a< RECEIPT
            a> UNSUBSCRIBE|id:s|destination:/topic/$t|durable:true|receipt:u
            a< RECEIPT
            a! sync
            look amq.topic $t`,
    },
    {
        name: 'UNSUBSCRIBE with durable:true by the id alone',
        script: text`
            a> SUBSCRIBE|id:s|destination:/topic/$t|durable:true|auto-delete:false|receipt:s
            a< RECEIPT
            a> UNSUBSCRIBE|id:s|durable:true|receipt:u
            a< RECEIPT
            a! sync
            look amq.topic $t`,
    },
    {
        name: 'UNSUBSCRIBE with durable:true of a durable subscription to an exchange',
        script: text`
            exchange $x direct
            a> SUBSCRIBE|id:s|destination:/exchange/$x/$k|durable:true|auto-delete:false|exclusive:false|receipt:s
            a< RECEIPT
            a> UNSUBSCRIBE|id:s|destination:/exchange/$x/$k|durable:true|receipt:u
            a< RECEIPT
            a! sync
            look $x $k`,
    },
    {
        name: 'UNSUBSCRIBE with durable:true and the name of a queue of somebody else',
        script: text`
            make $v
            a> SUBSCRIBE|id:s|destination:/topic/$t|durable:true|auto-delete:false|receipt:s
            a< RECEIPT
            a> UNSUBSCRIBE|id:s|destination:/topic/$t|durable:true|x-queue-name:$v|receipt:u
            a< RECEIPT
            a! sync
            look $v`,
    },
    {
        name: 'two sessions by one x-queue-name share its messages',
        script: text`
            a> SUBSCRIBE|id:s|destination:/topic/$t|x-queue-name:$n|exclusive:false|receipt:s
            a< RECEIPT
            b> SUBSCRIBE|id:s|destination:/topic/$t|x-queue-name:$n|exclusive:false|receipt:s
            b< RECEIPT
            a> SEND|destination:/topic/$t||1
            a< MESSAGE
            a> SEND|destination:/topic/$t||2
            b< MESSAGE`,
    },
    {
        name: 'x-queue-name of a queue: the name in the destination counts',
        script: text`
            a> SUBSCRIBE|id:s|destination:/queue/$q|x-queue-name:$n|receipt:s
            a< RECEIPT
            look $q
            look $n`,
    },
    {
        name: 'a headers exchange, with what is to match',
        script: text`
            exchange $x headers
            a> SUBSCRIBE|id:s|destination:/exchange/$x|x-match:all|colour:red|receipt:s
            a< RECEIPT
            look $x -`,
    },
    {
        name: 'a stream from its first message',
        script: text`
            make $q {"durable": true, "arguments": {"x-queue-type": "stream"}}
            a> SEND|destination:/amq/queue/$q|receipt:1||1
            a< RECEIPT
            a> SUBSCRIBE|id:s|destination:/amq/queue/$q|ack:client-individual|prefetch-count:10|x-stream-offset:first|receipt:s
            a< RECEIPT
            a< MESSAGE
            a> ACK|id:$a.ack|receipt:k
            a< RECEIPT`,
    },
    {
        name: 'a stream from an offset',
        script: text`
            make $q {"durable": true, "arguments": {"x-queue-type": "stream"}}
            a> SEND|destination:/amq/queue/$q||1
            a> SEND|destination:/amq/queue/$q|receipt:2||2
            a< RECEIPT
            a> SUBSCRIBE|id:s|destination:/amq/queue/$q|ack:client-individual|prefetch-count:10|x-stream-offset:offset=1|receipt:s
            a< RECEIPT
            a< MESSAGE`,
    },
    {
        name: 'a stream by SUBSCRIBE',
        script: text`
            a> SUBSCRIBE|id:s|destination:/queue/$q|x-queue-type:stream|ack:client|prefetch-count:10|receipt:s
            a< RECEIPT
            look $q`,
    },
    {
        name: 'a stream without acks',
        script: text`
            make $q {"durable": true, "arguments": {"x-queue-type": "stream"}}
            a> SUBSCRIBE|id:s|destination:/amq/queue/$q|receipt:s
            a< ERROR RECEIPT`,
        patience: 3000,
    },
    {
        name: 'a stream from an offset that is none',
        script: text`
            make $q {"durable": true, "arguments": {"x-queue-type": "stream"}}
            a> SUBSCRIBE|id:s|destination:/amq/queue/$q|ack:client|prefetch-count:10|x-stream-offset:later|receipt:s
            a< ERROR`,
        patience: 3000,
    },
    {
        name: 'a quorum queue: NACK and again',
        script: text`
            a> SUBSCRIBE|id:s|destination:/queue/$q|x-queue-type:quorum|ack:client-individual|receipt:s
            a< RECEIPT
            look $q
            a> SEND|destination:/queue/$q|x-queue-type:quorum||x
            a< MESSAGE
            a> NACK|id:$a.ack
            a< MESSAGE
            a> ACK|id:$a.ack|receipt:k
            a< RECEIPT`,
    },
];
