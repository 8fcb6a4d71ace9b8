// A queue that one of the two made is found by the other: same names, same arguments, and what waits in it.
const text = String.raw;

const LEFT = text`
    a> DISCONNECT|receipt:d
    a< RECEIPT
    a! closed`;

const durable = (destination, headers, key) => ({
    name: `a durable subscription to ${destination} (${headers})`,
    script: text`
        exchange $x topic
        a> SUBSCRIBE|id:$i|destination:${destination}|durable:true|${headers}|receipt:s
        a< RECEIPT
        ${LEFT}
        amqp {"exchange": "${key[0]}", "key": "${key[1]}", "body": "1"}
        amqp {"exchange": "${key[0]}", "key": "${key[1]}", "body": "2"}
        b> SUBSCRIBE|id:$i|destination:${destination}|durable:true|${headers}|receipt:s
        b< RECEIPT
        b< MESSAGE
        b< MESSAGE
        amqp {"exchange": "${key[0]}", "key": "${key[1]}", "body": "3"}
        b< MESSAGE
        queues ${key[0]} ${key[2] ?? key[1]}`,
});
const KEPT = 'auto-delete:false|exclusive:false';

export default [
    durable('/topic/$t', KEPT, ['amq.topic', '$t']),
    durable('/topic/$t', `${KEPT}|x-message-ttl:600000|x-max-length:10`, ['amq.topic', '$t']),
    durable('/topic/$t.*.#', KEPT, ['amq.topic', '$t.a.b.c', '$t.*.#']),
    durable('/topic/$t%2F', KEPT, ['amq.topic', '$t/']),
    durable('/exchange/$x/$k', KEPT, ['$x', '$k']),
    durable('/exchange/$x', KEPT, ['$x', '', '-']),
    durable('/topic/$t', `${KEPT}|x-queue-name:$n`, ['amq.topic', '$t']),
    durable('/topic/$t', `${KEPT}|x-queue-type:quorum`, ['amq.topic', '$t']),
    {
        name: 'a queue that a SEND made',
        script: text`
            a> SEND|destination:/queue/$q|receipt:r|persistent:true|foo:bar||x
            a< RECEIPT
            b> SUBSCRIBE|id:s|destination:/queue/$q|receipt:s
            b< RECEIPT
            b< MESSAGE
            look $q`,
    },
    {
        name: 'a queue with arguments',
        script: text`
            a> SEND|destination:/queue/$q|x-message-ttl:600000|receipt:r||x
            a< RECEIPT
            b> SUBSCRIBE|id:s|destination:/queue/$q|x-message-ttl:600000|ack:client|receipt:s
            b< RECEIPT
            b< MESSAGE
            b> NACK|id:$b.ack
            b< MESSAGE`,
    },
    {
        name: 'a queue with priorities',
        script: text`
            a> SEND|destination:/queue/$q|x-max-priority:5|priority:2||2
            a> SEND|destination:/queue/$q|x-max-priority:5|priority:4|receipt:r||4
            a< RECEIPT
            b> SUBSCRIBE|id:s|destination:/queue/$q|x-max-priority:5|receipt:s
            b< RECEIPT
            b< MESSAGE
            b< MESSAGE
            look $q`,
    },
    {
        name: 'a message that the first did not ack',
        script: text`
            a> SUBSCRIBE|id:s|destination:/queue/$q|ack:client|receipt:s
            a< RECEIPT
            a> SEND|destination:/queue/$q||1
            a< MESSAGE
            ${LEFT}
            b> SUBSCRIBE|id:s|destination:/queue/$q|ack:client|receipt:s
            b< RECEIPT
            b< MESSAGE
            b> ACK|id:$b.ack|receipt:k
            b< RECEIPT`,
    },
    {
        name: 'both compete for a queue',
        script: text`
            a> SUBSCRIBE|id:s|destination:/queue/$q|receipt:s
            a< RECEIPT
            b> SUBSCRIBE|id:s|destination:/queue/$q|receipt:s
            b< RECEIPT
            amqp {"key": "$q", "body": "1"}
            amqp {"key": "$q", "body": "2"}
            a< MESSAGE
            b< MESSAGE`,
    },
    {
        name: 'both hear a topic, from either',
        script: text`
            a> SUBSCRIBE|id:s|destination:/topic/$t|receipt:s
            a< RECEIPT
            b> SUBSCRIBE|id:s|destination:/topic/$t|receipt:s
            b< RECEIPT
            a> SEND|destination:/topic/$t|foo:bar||from a
            a< MESSAGE
            b< MESSAGE
            b> SEND|destination:/topic/$t|foo:bar||from b
            a< MESSAGE
            b< MESSAGE`,
    },
    {
        name: 'a request of one and the answer of the other',
        script: text`
            b> SUBSCRIBE|id:service|destination:/queue/$q|receipt:s
            b< RECEIPT
            a> SEND|destination:/queue/$q|reply-to:/temp-queue/answers|correlation-id:c1||ask
            b< MESSAGE
            b> SEND|destination:$b.reply-to|correlation-id:c1||answer
            a< MESSAGE`,
    },
];
