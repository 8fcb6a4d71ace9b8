// Where the two differ, and why ours is right: for each case of this folder what the plugin notes and we do not, and the other way round.
// What they do differently in every frame is in habits.mjs.
const text = String.raw;
const error = (message, body) => `a< ERROR|message:${message}|content-type:text/plain|version:1.0,1.1,1.2||${body}`;

export const DIFFERENCES = [
    {
        why: 
            "STOMP closes after ERROR; RabbitMQ's habit is to go on, and with tcp.error_close = false so do we, always. The plugin " +
            'does where it found the fault itself; where the broker did, its only AMQP channel is dead, and the connection with all ' +
            'other subscriptions goes down. It also sends the RECEIPT of the frame that failed.',
        cases: {
            'SUBSCRIBE to an /amq/queue/ that does not exist': {
                plugin: ['a closed', 'a closed', 'a< RECEIPT|receipt-id:r'],
                ours: ['a open', 'a open'],
            },
            'SUBSCRIBE to a /reply-queue/ that does not exist': {
                plugin: ['a closed', 'a closed', 'a< RECEIPT|receipt-id:r'],
                ours: ['a open', 'a open'],
            },
            'SEND to an exchange that does not exist': {
                plugin: ['a closed'],
                ours: ['a open'],
            },
            'SUBSCRIBE to an exchange that does not exist': {
                plugin: ['a closed', 'a closed', 'a< RECEIPT|receipt-id:r'],
                ours: ['a open', 'a open'],
            },
            'SUBSCRIBE to a queue with x-max-length:-1': {
                plugin: ['a closed', 'a closed', 'a< RECEIPT|receipt-id:s'],
                ours: ['a open', 'a open'],
            },
            'SEND to a queue with x-max-length:-1': {
                plugin: ['a closed'],
                ours: ['a open'],
            },
            'a queue that exists with other arguments: SEND': {
                plugin: ['a closed'],
                ours: ['a open'],
            },
            'a queue that exists with other arguments: SUBSCRIBE': {
                plugin: ['a closed', 'a closed', 'a< RECEIPT|receipt-id:s'],
                ours: ['a open', 'a open'],
            },
            'a queue that belongs to another connection': {
                plugin: ['a closed', 'a closed', 'a< RECEIPT|receipt-id:s'],
                ours: ['a open', 'a open'],
            },
            'an id for the second time, of topics': {
                plugin: ['a closed', 'a closed', 'a< RECEIPT|receipt-id:2'],
                ours: ['a open', 'a open'],
            },
            'a destination for the second time, without ids': {
                plugin: ['a closed', 'a closed', 'a< RECEIPT|receipt-id:2'],
                ours: ['a open', 'a open'],
            },
            'an exchange is deleted: SEND': {
                plugin: ['a closed'],
                ours: ['a open'],
            },
            'ACK twice': {
                plugin: ['a closed', 'a< RECEIPT|receipt-id:2'],
                ours: ['a open', 'a open'],
            },
            'an internal exchange': {
                plugin: ['a closed'],
                ours: ['a open'],
            },
        },
    },
    {
        why: 'The same; and the queue of a SUBSCRIBE that was refused is not made.',
        cases: {
            'an id for the second time': {
                plugin: ['a closed', 'a closed', 'a< RECEIPT|receipt-id:2', 'look p: durable'],
                ours: ['a open', 'a open', 'look p: none'],
            },
        },
    },
    {
        why: 
            'MESSAGE has the destination as the subscriber wrote it: clients look up their handler by it. The plugin makes one from ' +
            'exchange and key.',
        cases: {
            'a queue by a name without a slash, sent to and subscribed': {
                plugin: ['a< MESSAGE|subscription:s|destination:/queue/q|message-id:*|redelivered:false||hello'],
                ours: ['a< MESSAGE|subscription:s|destination:q|message-id:*|redelivered:false||hello'],
            },
            '/amq/queue/ of a queue that exists, whatever its flags': {
                plugin: ['a< MESSAGE|subscription:s|destination:/queue/q|message-id:*|redelivered:false||x'],
                ours: ['a< MESSAGE|subscription:s|destination:/amq/queue/q|message-id:*|redelivered:false||x'],
            },
            'an exchange of type fanout, without a key': {
                plugin: ['a< MESSAGE|subscription:s|destination:/exchange/x/k|message-id:*|redelivered:false||two'],
                ours: ['a< MESSAGE|subscription:s|destination:/exchange/x|message-id:*|redelivered:false||two'],
            },
            'NACK with requeue:false dead-letters': {
                plugin: ['a< MESSAGE|subscription:s|destination:/queue/q|message-id:T_s@@SESSION-a@@1|redelivered:false|ack:T_s@@SESSION-a@@1||1'],
                ours: ['a< MESSAGE|subscription:s|destination:/amq/queue/q|message-id:T_s@@SESSION-a@@1|redelivered:false|ack:T_s@@SESSION-a@@1||1'],
            },
            'a stream from its first message': {
                plugin: [
                    'a< MESSAGE|subscription:s|destination:/queue/q|message-id:T_s@@SESSION-a@@1|redelivered:false|ack:T_s@@SESSION-a@@1|x-stream-offset:0||1',
                ],
                ours: [
                    'a< MESSAGE|subscription:s|destination:/amq/queue/q|message-id:T_s@@SESSION-a@@1|redelivered:false|ack:T_s@@SESSION-a@@1|x-stream-offset:0||1',
                ],
            },
            'a stream from an offset': {
                plugin: [
                    'a< MESSAGE|subscription:s|destination:/queue/q|message-id:T_s@@SESSION-a@@1|redelivered:false|ack:T_s@@SESSION-a@@1|x-stream-offset:1||2',
                ],
                ours: [
                    'a< MESSAGE|subscription:s|destination:/amq/queue/q|message-id:T_s@@SESSION-a@@1|redelivered:false|ack:T_s@@SESSION-a@@1|x-stream-offset:1||2',
                ],
            },
        },
    },
    {
        why: 
            "The same; the plugin's spelling leads to another queue when it is sent to, because it writes %25 and %C3 and does not " +
            'read them back.',
        cases: {
            'a name with a percent sign, and the way back to it': {
                plugin: [
                    'a nothing comes',
                    'a< MESSAGE|subscription:s|destination:/queue/a%25bq|message-id:*|redelivered:false||body',
                    'look a%25bq: durable',
                ],
                ours: [
                    'a< MESSAGE|subscription:s|destination:/amq/queue/a%bq|message-id:*|redelivered:false||again',
                    'a< MESSAGE|subscription:s|destination:/amq/queue/a%bq|message-id:*|redelivered:false||body',
                    'look a%25bq: none',
                ],
            },
            'a queue name in UTF-8': {
                plugin: ['a< MESSAGE|subscription:s|destination:/queue/%C3%A9%E2%82%ACq|message-id:*|redelivered:false||x'],
                ours: ['a< MESSAGE|subscription:s|destination:/queue/é€q|message-id:*|redelivered:false||x'],
            },
        },
    },
    {
        why: 'A routing key in UTF-8 is a destination as it stands; the plugin escapes it and would not find its way back.',
        cases: {
            'a topic in UTF-8, by AMQP': {
                plugin: ['a< MESSAGE|subscription:s|destination:/topic/t.%C3%A9|message-id:*|redelivered:false||body'],
                ours: ['a< MESSAGE|subscription:s|destination:/topic/t.é|message-id:*|redelivered:false||body'],
            },
        },
    },
    {
        why: 
            'The rest of /reply-queue/ is raw, as the plugin documents; this one decodes %2F, and so cannot reach a queue that has ' +
            'it in its name.',
        cases: {
            '/reply-queue/ of a queue with slashes and escapes in its name': {
                plugin: ['a closed', 'a closed', error('not_found', "NOT_FOUND - no queue 'a/b/q' in vhost '/'")],
                ours: ['a open', 'a< MESSAGE|subscription:s|destination:/reply-queue/a/b%2Fq|message-id:*|redelivered:false||body'],
            },
        },
    },
    {
        why: 'A message that no queue gets is lost; the sender hears of it.',
        cases: {
            'SEND to an /amq/queue/ that does not exist': {
                plugin: ['a< RECEIPT|receipt-id:r'],
                ours: [error('no_route', 'NO_ROUTE')],
            },
            'a reply to somebody who has left': {
                plugin: ['b< RECEIPT|receipt-id:r'],
                ours: ['b< ERROR|message:no_route|content-type:text/plain|version:1.0,1.1,1.2||NO_ROUTE'],
            },
        },
    },
    {
        why: 'Said before the broker is asked: a queue that it keeps for itself costs nobody a channel.',
        cases: {
            'SUBSCRIBE to a queue of the broker itself': {
                plugin: [
                    'a closed',
                    'a closed',
                    error('access_refused', "ACCESS_REFUSED - queue name 'amq.q' contains reserved prefix 'amq.*'"),
                    'a< RECEIPT|receipt-id:r',
                ],
                ours: [
                    'a open',
                    'a open',
                    error('access_refused', text`ACCESS_REFUSED - '/queue/amq.q' is a queue that the server keeps for itself\n`),
                ],
            },
            'SEND to a queue of the broker itself': {
                plugin: ['a closed', error('access_refused', "ACCESS_REFUSED - queue name 'amq.q' contains reserved prefix 'amq.*'")],
                ours: ['a open', error('access_refused', text`ACCESS_REFUSED - '/queue/amq.q' is a queue that the server keeps for itself\n`)],
            },
        },
    },
    {
        why: "The broker's trace, events and log are no business of a STOMP client's.",
        cases: {
            "SUBSCRIBE to the broker's own events": {
                plugin: ['a< RECEIPT|receipt-id:r'],
                ours: [
                    error('Invalid destination', text`'/exchange/amq.rabbitmq.trace/#' is not a valid destination: the broker keeps that exchange for itself.\n`),
                ],
            },
        },
    },
    {
        why: 'Nobody means to send to an asterisk: the message would reach hardly anybody.',
        cases: {
            'SEND to a wildcard': {
                plugin: ['a< MESSAGE|subscription:s|destination:/topic/t.*|message-id:*|redelivered:false||x', 'a< RECEIPT|receipt-id:r'],
                ours: ['a open', error('Invalid destination', text`'/topic/t.*' has a wildcard: it can be subscribed, not sent to.\n`)],
            },
        },
    },
    {
        why: 'Slashes are dots in keys: /topic/a/b works with SimpleBroker and with us.',
        cases: {
            'an exchange by a destination with three parts': {
                plugin: [error('Invalid destination', text`'/x/a/b' is not a valid exchange destination\n`)],
                ours: ['a< RECEIPT|receipt-id:r'],
            },
            'a topic with a slash': {
                plugin: [error('Invalid destination', text`'/t/b' is not a valid topic destination\n`)],
                ours: ['a< RECEIPT|receipt-id:s'],
            },
        },
    },
    {
        why: 'AMQP has 255 bytes for a name. What is longer cannot reach any queue; the plugin says RECEIPT.',
        cases: {
            'a queue name of 256 bytes': {
                plugin: ['a< RECEIPT|receipt-id:r'],
                ours: [
                    error('Invalid destination', text`'/queue/q${'x'.repeat(242)}' is too long: exchange and routing key may have 255 bytes each.\n`),
                ],
            },
            'SEND with a property of 256 bytes': {
                plugin: ['a< RECEIPT|receipt-id:r'],
                ours: [error('Invalid header', text`'type' must have at most 255 bytes\n`)],
            },
        },
    },
    {
        why: 'A line feed in a name would come out in logs, in texts and in the management UI.',
        cases: {
            'a line feed in a destination': {
                plugin: ['a< RECEIPT|receipt-id:r'],
                ours: [error('Invalid destination', text`'/queue/a?bq' is not a valid destination: it has a control character.\n`)],
            },
        },
    },
    {
        why: 'Headers keep the order in which they were sent.',
        cases: {
            'SEND with foo:bar|x-own:1|Upper-Case:y': {
                plugin: [
                    'a< MESSAGE|subscription:s|destination:/queue/q|message-id:*|redelivered:false|Upper-Case:y|x-own:1|foo:bar||x',
                    'get q: {} {"Upper-Case":"y","x-own":"1","foo":"bar"} x',
                ],
                ours: [
                    'a< MESSAGE|subscription:s|destination:/queue/q|message-id:*|redelivered:false|foo:bar|x-own:1|Upper-Case:y||x',
                    'get q: {} {"foo":"bar","x-own":"1","Upper-Case":"y"} x',
                ],
            },
            'SEND with escapes': {
                plugin: [
                    text`a< MESSAGE|subscription:s|destination:/queue/q|message-id:*|redelivered:false|na\cme:v|foo:a\nb\cc\\d||x`,
                    text`get q: {} {"na:me":"v","foo":"a\nb:c\\d"} x`,
                ],
                ours: [
                    text`a< MESSAGE|subscription:s|destination:/queue/q|message-id:*|redelivered:false|foo:a\nb\cc\\d|na\cme:v||x`,
                    text`get q: {} {"foo":"a\nb:c\\d","na:me":"v"} x`,
                ],
            },
        },
    },
    {
        why: 
            'The broker compares user-id with the user of the connection, which is one for all sessions; so it is checked here and ' +
            'goes no further.',
        cases: {
            'SEND with user-id:guest': {
                plugin: [
                    'a< MESSAGE|subscription:s|destination:/queue/q|message-id:*|redelivered:false|user-id:guest||x',
                    'get q: {"userId":"guest"} {} x',
                ],
                ours: ['a< MESSAGE|subscription:s|destination:/queue/q|message-id:*|redelivered:false||x', 'get q: {} {} x'],
            },
        },
    },
    {
        why: 
            'Names that the server writes into MESSAGE cannot be forged by a sender; with the plugin every subscriber would read ' +
            'ack:client, redelivered:true.',
        cases: {
            'SEND with names of MESSAGE': {
                plugin: [
                    'a< MESSAGE|subscription:s|destination:/queue/q|message-id:T_s@@SESSION-a@@1|redelivered:false|gap:true|redelivered:true|subscription:other|ack:client|id:7||x',
                    'get q: {} {"gap":"true","redelivered":"true","subscription":"other","ack":"client","id":"7"} x',
                ],
                ours: ['a< MESSAGE|subscription:s|destination:/queue/q|message-id:*|redelivered:false|id:7||x', 'get q: {} {"id":"7"} x'],
            },
            'published by AMQP: headers with the names of the frame': {
                plugin: [
                    'a< MESSAGE|subscription:s|destination:/queue/q|message-id:T_s@@SESSION-a@@1|redelivered:false|subscription:x|destination:x|message-id:x|redelivered:x|ack:x||body',
                ],
                ours: ['a< MESSAGE|subscription:s|destination:/queue/q|message-id:*|redelivered:false||body'],
            },
        },
    },
    {
        why: "Each message has an id that is the server's; nobody else may choose it.",
        cases: {
            'SEND with amqp-message-id:m-1': {
                plugin: [
                    'a< MESSAGE|subscription:s|destination:/queue/q|message-id:*|redelivered:false|amqp-message-id:m-1||x',
                    'get q: {"messageId":"m-1"} {} x',
                ],
                ours: ['a< MESSAGE|subscription:s|destination:/queue/q|message-id:*|redelivered:false||x', 'get q: {} {} x'],
            },
        },
    },
    {
        why: 'Credentials do not leave the session.',
        cases: {
            'SEND with names of CONNECT': {
                plugin: [
                    'a< MESSAGE|subscription:s|destination:/queue/q|message-id:*|redelivered:false|passcode:secret|login:me||x',
                    'get q: {} {"passcode":"secret","login":"me"} x',
                ],
                ours: ['a< MESSAGE|subscription:s|destination:/queue/q|message-id:*|redelivered:false||x', 'get q: {} {} x'],
            },
        },
    },
    {
        why: "message-id on SEND is how SimpleBroker's and ActiveMQ's clients mark a repeated message; it is an idempotency key.",
        cases: {
            'SEND with message-id:m-1': {
                plugin: [error('Invalid header', text`'message-id' is not allowed on 'SEND'.\n`)],
                ours: ['a< RECEIPT|receipt-id:r'],
            },
        },
    },
    {
        why: 'The header is named, and what is wrong with it; the plugin says that something was.',
        cases: {
            'SEND with priority:high': {
                plugin: [error('Processing error', 'Processing error')],
                ours: [error('Invalid header', text`'priority' must be a number from 0 to 255\n`)],
            },
            'SEND with timestamp:now': {
                plugin: [error('Processing error', 'Processing error')],
                ours: [error('Invalid header', text`'timestamp' must be a number of seconds since 1970, digits only\n`)],
            },
            'SEND with reply-to:/foo/bar': {
                plugin: [error('Processing error', 'Processing error')],
                ours: [error('Invalid header', text`'reply-to' must be a destination that somebody can answer to\n`)],
            },
            "an ack mode that is none: 'sometimes'": {
                plugin: [error('Processing error', 'Processing error')],
                ours: [error('Processing error', text`ack must be auto, client or client-individual\n`)],
            },
            "an ack mode that is none: 'Client'": {
                plugin: [error('Processing error', 'Processing error')],
                ours: [error('Processing error', text`ack must be auto, client or client-individual\n`)],
            },
            "an ack mode that is none: ''": {
                plugin: [error('Processing error', 'Processing error')],
                ours: [error('Processing error', text`ack must be auto, client or client-individual\n`)],
            },
            'prefetch-count:x': {
                plugin: [error('Processing error', 'Processing error')],
                ours: [error('Processing error', text`prefetch-count must be a number from 0 to 65535\n`)],
            },
            'SUBSCRIBE to a queue with x-message-ttl:long': {
                plugin: [error('Processing error', 'Processing error')],
                ours: [error('Invalid header', text`'x-message-ttl' must be an integer\n`)],
            },
            'SEND to a queue with x-message-ttl:long': {
                plugin: [error('Processing error', 'Processing error')],
                ours: [error('Invalid header', text`'x-message-ttl' must be an integer\n`)],
            },
            'SUBSCRIBE to a queue with durable:maybe': {
                plugin: [error('Processing error', 'Processing error')],
                ours: [error('Invalid header', text`'durable' must be true or false\n`)],
            },
            'SEND to a queue with durable:maybe': {
                plugin: [error('Processing error', 'Processing error')],
                ours: [error('Invalid header', text`'durable' must be true or false\n`)],
            },
            'SUBSCRIBE with the id of a temporary queue': {
                plugin: [error('Processing error', 'Processing error')],
                ours: [error('Invalid id', text`"id" must not begin with /temp-queue/: such are made by reply-to\n`)],
            },
            'CONNECT with a heart-beat of one number': {
                plugin: [error('Processing error', 'Processing error')],
                ours: [error('Processing error', text`heart-beat must be two numbers of milliseconds, like 10000,10000\n`)],
            },
            'CONNECT with a heart-beat of words': {
                plugin: [error('Processing error', 'Processing error')],
                ours: [error('Processing error', text`heart-beat must be two numbers of milliseconds, like 10000,10000\n`)],
            },
        },
    },
    {
        why: 'A number that AMQP cannot carry is refused; the plugin lets it through, and another one arrives.',
        cases: {
            'SEND with priority:-1': {
                plugin: ['a< RECEIPT|receipt-id:r'],
                ours: [error('Invalid header', text`'priority' must be a number from 0 to 255\n`)],
            },
            'SEND with priority:256': {
                plugin: ['a< RECEIPT|receipt-id:r'],
                ours: [error('Invalid header', text`'priority' must be a number from 0 to 255\n`)],
            },
            'SEND with timestamp:-5': {
                plugin: ['a< RECEIPT|receipt-id:r'],
                ours: [error('Invalid header', text`'timestamp' must be a number of seconds since 1970, digits only\n`)],
            },
            'SEND with expiration:99999999999': {
                plugin: ['a< RECEIPT|receipt-id:r'],
                ours: [error('Invalid header', text`'expiration' must be a number of milliseconds, digits only, at most 4294967295\n`)],
            },
            'prefetch-count:-1': {
                plugin: ['a< RECEIPT|receipt-id:s'],
                ours: [error('Processing error', text`prefetch-count must be a number from 0 to 65535\n`)],
            },
            'prefetch-count:65536': {
                plugin: ['a< RECEIPT|receipt-id:s'],
                ours: [error('Processing error', text`prefetch-count must be a number from 0 to 65535\n`)],
            },
        },
    },
    {
        why: 
            'What the broker closes a channel over is refused before it is sent, and the header named: others publish on that ' +
            'channel.',
        cases: {
            'SEND with expiration:soon': {
                plugin: ['a closed', error('precondition_failed', "PRECONDITION_FAILED - invalid expiration 'soon': no_integer")],
                ours: ['a open', error('Invalid header', text`'expiration' must be a number of milliseconds, digits only, at most 4294967295\n`)],
            },
            'SEND with expiration:-1': {
                plugin: ['a closed', error('precondition_failed', "PRECONDITION_FAILED - invalid expiration '-1': {value_negative,-1}")],
                ours: ['a open', error('Invalid header', text`'expiration' must be a number of milliseconds, digits only, at most 4294967295\n`)],
            },
            'SEND with user-id:somebody': {
                plugin: [
                    'a closed',
                    error('precondition_failed', "PRECONDITION_FAILED - user_id property set to 'somebody' but authenticated user was 'guest'"),
                ],
                ours: ['a open', error('Invalid header', text`'user-id' must be the user of this session\n`)],
            },
            'SEND with CC:other': {
                plugin: [
                    'a closed',
                    error('precondition_failed', 'PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,"CC",longstr}'),
                ],
                ours: ['a open', error('Invalid header', text`'CC' must not be sent: RabbitMQ would route the message by it\n`)],
            },
            'SEND with BCC:other': {
                plugin: [
                    'a closed',
                    error('precondition_failed', 'PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,"BCC",longstr}'),
                ],
                ours: ['a open', error('Invalid header', text`'BCC' must not be sent: RabbitMQ would route the message by it\n`)],
            },
        },
    },
    {
        why: 'STOMP 1.0 knows no escapes: a backslash is a backslash.',
        cases: {
            'escapes in 1.0': {
                plugin: ['get q: {} {"foo":"a:b"} x'],
                ours: [text`get q: {} {"foo":"a\\cb"} x`],
            },
        },
    },
    {
        why: 'STOMP 1.1 has no escape for a carriage return, so none is written to its clients.',
        cases: {
            [text`\r is an escape of 1.1 as well`]: {
                plugin: [text`a< MESSAGE|subscription:s|destination:/queue/q|message-id:*|redelivered:false|foo:a\rb||x`],
                ours: ['a< MESSAGE|subscription:s|destination:/queue/q|message-id:*|redelivered:false|foo:ab||x'],
            },
        },
    },
    {
        why: 'A header name with a control byte could not be sent back: it goes without.',
        cases: {
            'published by AMQP: bytes that a header must escape': {
                plugin: [text`a< MESSAGE|subscription:s|destination:/queue/q|message-id:*|redelivered:false|h\c\n:a\cb\nc\r\\||body`],
                ours: [text`a< MESSAGE|subscription:s|destination:/queue/q|message-id:*|redelivered:false|h\c:a\cb\nc\r\\||body`],
            },
        },
    },
    {
        why: 
            'Headers of AMQP that are no text reach the subscriber: scalars as text, tables and arrays by dotted names. The plugin ' +
            'drops them.',
        cases: {
            'published by AMQP: true and false': {
                plugin: ['a< MESSAGE|subscription:s|destination:/queue/q|message-id:*|redelivered:false||body'],
                ours: ['a< MESSAGE|subscription:s|destination:/queue/q|message-id:*|redelivered:false|yes:true|no:false||body'],
            },
            'published by AMQP: a byte': {
                plugin: ['a< MESSAGE|subscription:s|destination:/queue/q|message-id:*|redelivered:false||body'],
                ours: ['a< MESSAGE|subscription:s|destination:/queue/q|message-id:*|redelivered:false|h:-3||body'],
            },
            'published by AMQP: a short': {
                plugin: ['a< MESSAGE|subscription:s|destination:/queue/q|message-id:*|redelivered:false||body'],
                ours: ['a< MESSAGE|subscription:s|destination:/queue/q|message-id:*|redelivered:false|h:-300||body'],
            },
            'published by AMQP: a double': {
                plugin: ['a< MESSAGE|subscription:s|destination:/queue/q|message-id:*|redelivered:false||body'],
                ours: ['a< MESSAGE|subscription:s|destination:/queue/q|message-id:*|redelivered:false|h:1.5||body'],
            },
            'published by AMQP: a float': {
                plugin: ['a< MESSAGE|subscription:s|destination:/queue/q|message-id:*|redelivered:false||body'],
                ours: ['a< MESSAGE|subscription:s|destination:/queue/q|message-id:*|redelivered:false|h:0.25||body'],
            },
            'published by AMQP: a timestamp': {
                plugin: ['a< MESSAGE|subscription:s|destination:/queue/q|message-id:*|redelivered:false||body'],
                ours: ['a< MESSAGE|subscription:s|destination:/queue/q|message-id:*|redelivered:false|h:1700000000||body'],
            },
            'published by AMQP: a table': {
                plugin: ['a< MESSAGE|subscription:s|destination:/queue/q|message-id:*|redelivered:false||body'],
                ours: ['a< MESSAGE|subscription:s|destination:/queue/q|message-id:*|redelivered:false|h.a:b|h.n:70000|h.deep.c:true||body'],
            },
            'published by AMQP: an array': {
                plugin: ['a< MESSAGE|subscription:s|destination:/queue/q|message-id:*|redelivered:false||body'],
                ours: ['a< MESSAGE|subscription:s|destination:/queue/q|message-id:*|redelivered:false|h.0:a|h.1:70000|h.2.b:c||body'],
            },
            'published by AMQP to a topic: scalars': {
                plugin: ['a< MESSAGE|subscription:s|destination:/topic/t|message-id:*|redelivered:false||body'],
                ours: ['a< MESSAGE|subscription:s|destination:/topic/t|message-id:*|redelivered:false|yes:true|byte:1|double:1.5|time:9||body'],
            },
            'what a dead letter tells of itself': {
                plugin: [
                    'a< MESSAGE|subscription:s|destination:/queue/d|message-id:*|redelivered:false|foo:bar|x-first-death-exchange:|x-first-death-queue:q|x-first-death-reason:expired||x',
                ],
                ours: [
                    'a< MESSAGE|subscription:s|destination:/queue/d|message-id:*|redelivered:false|foo:bar|x-death.0.count:1|x-death.0.reason:expired|x-death.0.queue:q|x-death.0.time:*|x-death.0.exchange:|x-death.0.routing-keys.0:q|x-first-death-exchange:|x-first-death-queue:q|x-first-death-reason:expired||x',
                ],
            },
        },
    },
    {
        why: "The message-id of a message that needs no ack is the message's own.",
        cases: {
            'published by AMQP: all properties': {
                plugin: [
                    'a< MESSAGE|subscription:s|destination:/queue/q|message-id:*|redelivered:false|h:x|app-id:app|user-id:guest|type:t|timestamp:1700000000|amqp-message-id:m|expiration:600000|reply-to:/reply-queue/answers|correlation-id:c|priority:7|persistent:true|content-encoding:gzip|content-type:text/plain||body',
                ],
                ours: [
                    'a< MESSAGE|subscription:s|destination:/queue/q|message-id:m|redelivered:false|h:x|app-id:app|user-id:guest|type:t|timestamp:1700000000|expiration:600000|reply-to:/reply-queue/answers|correlation-id:c|priority:7|persistent:true|content-encoding:gzip|content-type:text/plain||body',
                ],
            },
            'published by AMQP to a topic: all properties': {
                plugin: [
                    'a< MESSAGE|subscription:s|destination:/topic/t|message-id:*|redelivered:false|h:x|n:70000|app-id:app|user-id:guest|type:t|timestamp:1700000000|amqp-message-id:m|expiration:600000|reply-to:/reply-queue/answers|correlation-id:c|priority:7|persistent:true|content-encoding:gzip|content-type:text/plain||body',
                ],
                ours: [
                    'a< MESSAGE|subscription:s|destination:/topic/t|message-id:m|redelivered:false|h:x|n:70000|app-id:app|user-id:guest|type:t|timestamp:1700000000|expiration:600000|reply-to:/reply-queue/answers|correlation-id:c|priority:7|persistent:true|content-encoding:gzip|content-type:text/plain||body',
                ],
            },
        },
    },
    {
        why: "Spring's clients ack by message-id in 1.2 as well.",
        cases: {
            'ACK in 1.2 by message-id': {
                plugin: [error('Missing header', text`"ACK" must include the "id" header\n`)],
                ours: ['a< RECEIPT|receipt-id:r'],
            },
        },
    },
    {
        why: 'An ACK is checked before it goes to the broker, which would close the channel over it.',
        cases: {
            'ACK of a number that was not delivered': {
                plugin: ['a closed', error('precondition_failed', 'PRECONDITION_FAILED - unknown delivery tag 99'), 'a< RECEIPT|receipt-id:r'],
                ours: ['a open', 'a open', error('Subscription not found', 'Message with id "T_s@@none@@99" has no subscription')],
            },
            'ACK of a message of ack:auto': {
                plugin: ['a closed', error('precondition_failed', 'PRECONDITION_FAILED - unknown delivery tag 1'), 'a< RECEIPT|receipt-id:r'],
                ours: ['a open', 'a open', error('Invalid header', text`"ACK" must include a valid "id" header\n`)],
            },
            'NACK of a message of ack:auto': {
                plugin: ['a closed', error('precondition_failed', 'PRECONDITION_FAILED - unknown delivery tag 1'), 'a< RECEIPT|receipt-id:r'],
                ours: ['a open', 'a open', error('Invalid header', text`"NACK" must include a valid "id" header\n`)],
            },
        },
    },
    {
        why: "The session's name in an ack is checked: the plugin acks whatever message of this session has the same number.",
        cases: {
            "ACK of another session's message": {
                plugin: ['b< RECEIPT|receipt-id:r', 'count p: 0'],
                ours: [
                    'b< ERROR|message:Subscription not found|content-type:text/plain|version:1.0,1.1,1.2||Message with id "T_s@@SESSION-a@@1" has no subscription',
                    'count p: 1',
                ],
            },
            'an ACK whose subscription and number are right, of a session that was before': {
                plugin: ['a< RECEIPT|receipt-id:3'],
                ours: [error('Subscription not found', 'Message with id "T_s@@session-before@@1" has no subscription')],
            },
        },
    },
    {
        why: 'What was delivered can be acked after UNSUBSCRIBE; with the plugin it is delivered twice.',
        cases: {
            'ACK after UNSUBSCRIBE': {
                plugin: [error('Subscription not found', 'Message with id "T_s@@SESSION-a@@1" has no subscription'), 'count q: 1'],
                ours: ['a< RECEIPT|receipt-id:r', 'count q: 0'],
            },
        },
    },
    {
        why: 
            'STOMP, SUBSCRIBE: an ACK of ack:client is cumulative in its subscription. stomp.client_ack = "connection" is the ' +
            "plugin's way.",
        cases: {
            'client: what an ACK counts for when there are two subscriptions': {
                plugin: ['count q: 0'],
                ours: ['count q: 1'],
            },
        },
    },
    {
        why: "The plugin's prefetch-count holds for the session's later subscriptions as well, which is nowhere written.",
        cases: {
            'prefetch-count of one subscription and not of the next': {
                plugin: ['a nothing comes'],
                ours: ['a< MESSAGE|subscription:s|destination:/queue/q|message-id:T_s@@SESSION-a@@2|redelivered:false|ack:T_s@@SESSION-a@@2||2'],
            },
        },
    },
    {
        why: 
            'A queue that belongs to one session is exclusive, as with the plugin from 4.3 on: brokers refuse transient queues that ' +
            'are not.',
        cases: {
            'client acks of a topic: a queue of its own': {
                plugin: ['look stomp-subscription-*: auto_delete <- amq.topic t'],
                ours: ['look stomp-subscription-*: exclusive auto_delete <- amq.topic t'],
            },
            'SUBSCRIBE to a topic with x-message-ttl:60000': {
                plugin: ['look stomp-subscription-*: auto_delete {"x-message-ttl":60000} <- amq.topic t'],
                ours: ['look stomp-subscription-*: exclusive auto_delete {"x-message-ttl":60000} <- amq.topic t'],
            },
            'SUBSCRIBE to an exchange with ack:client': {
                plugin: ['look stomp-subscription-*: auto_delete <- x k'],
                ours: ['look stomp-subscription-*: exclusive auto_delete <- x k'],
            },
        },
    },
    {
        why: 'The same: it goes with its session.',
        cases: {
            'SUBSCRIBE to a topic with auto-delete:false|x-expires:60000': {
                plugin: [
                    'left stomp-subscription-*: no flags {"x-expires":60000} <- amq.topic t',
                    'look stomp-subscription-*: no flags {"x-expires":60000} <- amq.topic t',
                ],
                ours: ['left amq.topic t: nothing is bound', 'look stomp-subscription-*: exclusive {"x-expires":60000} <- amq.topic t'],
            },
        },
    },
    {
        why: 
            'A queue with a name may be shared, so it cannot be exclusive; brokers from 4.3 on refuse what is neither exclusive nor ' +
            'durable.',
        cases: {
            'SUBSCRIBE to a topic with x-queue-name:$n': {
                plugin: ['look n: auto_delete <- amq.topic t'],
                ours: ['look n: durable auto_delete <- amq.topic t'],
            },
            'SUBSCRIBE to an exchange with x-queue-name:$n': {
                plugin: ['look n: auto_delete <- x k'],
                ours: ['look n: durable auto_delete <- x k'],
            },
        },
    },
    {
        why: 'STOMP: a transaction that is open cannot begin. The plugin throws away silently what was in it.',
        cases: {
            'BEGIN of a transaction that is open': {
                plugin: ['a< RECEIPT|receipt-id:r', 'get q: empty'],
                ours: [error('Bad transaction', text`Transaction has begun already: "t"\n`), 'get q: {} {} 1'],
            },
        },
    },
    {
        why: 'All or an ERROR: COMMIT cannot be confirmed for a transaction of which a frame was refused.',
        cases: {
            'a destination that is wrong, in a transaction': {
                plugin: ['a< RECEIPT|receipt-id:c'],
                ours: [error('Bad transaction', text`Nothing of it was done: a frame of the transaction was refused\n`)],
            },
            'an exchange that does not exist, in a transaction': {
                plugin: ['a closed', error('not_found', "NOT_FOUND - no exchange 'x' in vhost '/'"), 'a< RECEIPT|receipt-id:c'],
                ours: [
                    'a open',
                    'a open',
                    error('not_found', "Message 2 of the transaction, to '/exchange/x/k', was refused: NOT_FOUND - no exchange 'x' in vhost '/'"),
                ],
            },
        },
    },
    {
        why: 'A transaction that is aborted leaves nothing, not even a queue.',
        cases: {
            'a queue is declared when its SEND comes, not at COMMIT': {
                plugin: ['look q: durable'],
                ours: ['look q: none'],
            },
        },
    },
    {
        why: 'Every argument of queues is passed on; the plugin knows eleven, and its documentation one more that it ignores.',
        cases: {
            'SUBSCRIBE to a queue with x-overflow:reject-publish': {
                plugin: ['look q: durable'],
                ours: ['look q: durable {"x-overflow":"reject-publish"}'],
            },
            'SEND to a queue with x-overflow:reject-publish': {
                plugin: ['look q: durable'],
                ours: ['look q: durable {"x-overflow":"reject-publish"}'],
            },
            'SUBSCRIBE to a queue with x-single-active-consumer:true': {
                plugin: ['look q: durable'],
                ours: ['look q: durable {"x-single-active-consumer":true}'],
            },
            'SEND to a queue with x-single-active-consumer:true': {
                plugin: ['look q: durable'],
                ours: ['look q: durable {"x-single-active-consumer":true}'],
            },
            'SUBSCRIBE to a queue with x-own:1': {
                plugin: ['look q: durable'],
                ours: ['look q: durable {"x-own":1}'],
            },
        },
    },
    {
        why: 'A queue that its SEND alone may use is a queue that nobody reads.',
        cases: {
            'SEND to a queue with exclusive:true': {
                plugin: ['a< RECEIPT|receipt-id:s', 'look q: exclusive'],
                ours: [error('Invalid header', text`'exclusive' must be false on SEND: such a queue belongs to its subscriber\n`), 'look q: none'],
            },
        },
    },
    {
        why: 
            'persistent says something of the message, not of the queue: with the plugin such a SEND makes a queue that goes with ' +
            'the session, or is cut off.',
        cases: {
            'persistent:false on SEND to a queue that exists': {
                plugin: [
                    'a closed',
                    error('resource_locked', "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration."),
                    'count q: 0',
                ],
                ours: ['a open', 'a< RECEIPT|receipt-id:r', 'count q: 1'],
            },
            'persistent:false on SEND to a queue that does not exist': {
                plugin: ['look q: exclusive auto_delete'],
                ours: ['look q: durable'],
            },
        },
    },
    {
        why: 'A queue of other arguments than the frame asks for is an error each time, not the first time only.',
        cases: {
            'the second SEND of a session with other arguments': {
                plugin: ['a< RECEIPT|receipt-id:2'],
                ours: [
                    error('precondition_failed', "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/': received the value '60000' of type 'long' but current is none"),
                ],
            },
        },
    },
    {
        why: 'A durable subscription of an exchange ends like one of a topic.',
        cases: {
            'UNSUBSCRIBE with durable:true of a durable subscription to an exchange': {
                plugin: ['look stomp-subscription-*: durable <- x k'],
                ours: ['look x k: nothing is bound'],
            },
        },
    },
    {
        why: 'UNSUBSCRIBE ends what was subscribed. The plugin deletes any queue that the frame names.',
        cases: {
            'UNSUBSCRIBE with durable:true and the name of a queue of somebody else': {
                plugin: ['look v: none'],
                ours: ['look v: durable'],
            },
        },
    },
    {
        why: 'x-match and x-bind-… are arguments of the binding: without them a headers exchange cannot be used.',
        cases: {
            'a headers exchange, with what is to match': {
                plugin: ['look stomp-subscription-*: auto_delete <- x '],
                ours: ['look stomp-subscription-*: exclusive auto_delete <- x {"x-match":"all"}'],
            },
        },
    },
    {
        why: 'Messages of a stream are acked for a client that does not: it need not know what kind of queue it reads.',
        cases: {
            'a stream without acks': {
                plugin: [
                    'a closed',
                    'a closed',
                    error('precondition_failed', "PRECONDITION_FAILED - consumer prefetch count is not set for 'queue 'q' in vhost '/''"),
                ],
                ours: ['a nothing comes', 'a open'],
            },
        },
    },
    {
        why: 'An offset that is none is refused; the plugin starts at the next message without a word.',
        cases: {
            'a stream from an offset that is none': {
                plugin: ['a< RECEIPT|receipt-id:s'],
                ours: [
                    error('Invalid header', text`'x-stream-offset' must be first, last, next, offset=N, timestamp=SECONDS or an interval like 7D\n`),
                ],
            },
        },
    },
    {
        why: 'STOMP 1.1 and 1.2: SUBSCRIBE must have an id.',
        cases: {
            'SUBSCRIBE without an id in 1.1': {
                plugin: ['a< RECEIPT|receipt-id:s'],
                ours: [error('Missing header', text`"SUBSCRIBE" must include the "id" header\n`)],
            },
            'SUBSCRIBE without an id in 1.2': {
                plugin: ['a< RECEIPT|receipt-id:s'],
                ours: [error('Missing header', text`"SUBSCRIBE" must include the "id" header\n`)],
            },
        },
    },
    {
        why: 'The plugin does not escape message-id and ack: the id comes back changed, and its message can never be acked.',
        cases: {
            'an id with what must be escaped': {
                plugin: [
                    error('Subscription not found', 'Message with id "T_a:b:@@SESSION-a@@1" has no subscription'),
                    text`a< MESSAGE|subscription:a\cb\\c|destination:/queue/q|message-id:T_a:b\c@@SESSION-a@@1|redelivered:false|ack:T_a:b\c@@SESSION-a@@1||body`,
                ],
                ours: [
                    text`a< MESSAGE|subscription:a\cb\\c|destination:/queue/q|message-id:T_a\cb\\c@@SESSION-a@@1|redelivered:false|ack:T_a\cb\\c@@SESSION-a@@1||body`,
                    'a< RECEIPT|receipt-id:3',
                ],
            },
        },
    },
    {
        why: "The same, and a line feed would begin a header of the client's choice; such ids are refused.",
        cases: {
            'an id with a line feed': {
                plugin: [
                    text`a< MESSAGE|subscription:a\nb|destination:/queue/q|message-id:T_a|b@@SESSION-a@@1|redelivered:false|ack:T_a|b@@SESSION-a@@1||body`,
                    'a< RECEIPT|receipt-id:1',
                ],
                ours: ['a nothing comes', error('Invalid header', text`'id' may have 255 bytes and no control characters\n`)],
            },
        },
    },
    {
        why: 'The last two @@ are the ones that count.',
        cases: {
            'an id with @@': {
                plugin: [error('Invalid header', text`"ACK" must include a valid "id" header\n`)],
                ours: ['a< RECEIPT|receipt-id:3'],
            },
        },
    },
    {
        why: 'Its arguments of consumers are known from 4.0 on.',
        cases: {
            'x-priority: who has more gets more': {
                plugin: ['a< MESSAGE|subscription:low|destination:/queue/q|message-id:*|redelivered:false||1', 'b nothing comes'],
                ours: ['b< MESSAGE|subscription:high|destination:/queue/q|message-id:*|redelivered:false||1'],
            },
        },
    },
    {
        why: "SimpleBroker ignores what is not there, and Spring's relay counts on it.",
        cases: {
            'UNSUBSCRIBE of an id that is not there': {
                plugin: [
                    error('No subscription found', text`UNSUBSCRIBE must refer to an existing subscription.\nSubscription to "id='s'" not found.\n`),
                ],
                ours: ['a< RECEIPT|receipt-id:u'],
            },
            'UNSUBSCRIBE twice': {
                plugin: [
                    error('No subscription found', text`UNSUBSCRIBE must refer to an existing subscription.\nSubscription to "id='s'" not found.\n`),
                ],
                ours: ['a< RECEIPT|receipt-id:2'],
            },
            'UNSUBSCRIBE by destination of a subscription with an id': {
                plugin: [
                    error('No subscription found', text`UNSUBSCRIBE must refer to an existing subscription.\nSubscription to "destination='/topic/t'" not found.\n`),
                ],
                ours: ['a< RECEIPT|receipt-id:u'],
            },
        },
    },
    {
        why: 'STOMP 1.1 and 1.2 know UNSUBSCRIBE by id alone.',
        cases: {
            'UNSUBSCRIBE of nothing': {
                plugin: [error('Missing destination or id', "UNSUBSCRIBE must include a 'destination' or 'id' header")],
                ours: [error('Missing destination or id', text`UNSUBSCRIBE must include an 'id' header\n`)],
            },
        },
    },
    {
        why: 'A queue that we declared is declared again, and the next MESSAGE says that some may be missing.',
        cases: {
            'a declared queue is deleted under its subscriber': {
                plugin: [
                    'a open',
                    text`a< ERROR|message:Server cancelled subscription|content-type:text/plain|version:1.0,1.1,1.2|subscription:s||The server has canceled a subscription.\nNo more messages will be delivered for "id='s'".\n`,
                    'comes q: gone',
                ],
                ours: ['a< MESSAGE|subscription:s|destination:/queue/q|gap:true|message-id:*|redelivered:false||x', 'comes q: there'],
            },
        },
    },
    {
        why: "basic.nack crashes the plugin's connection; it is an ERROR with the receipt-id.",
        cases: {
            'a full queue that refuses': {
                plugin: ['a closed', 'a closed'],
                ours: ['a open', error('nack', text`The broker did not take the message (basic.nack): a queue is full or has failed.\n`)],
            },
        },
    },
    {
        why: 'Blanks in a list of versions are read over.',
        cases: {
            'CONNECT with blanks between versions': {
                plugin: ['a< CONNECTED|server|session:SESSION-a|heart-beat:?|version:1.0'],
                ours: ['a< CONNECTED|server|session:SESSION-a|heart-beat:?|version:1.2'],
            },
        },
    },
    {
        why: 'Without a password nobody is let in; the plugin takes the one of its default user.',
        cases: {
            'CONNECT with no password': {
                plugin: ['a< CONNECTED|server|session:SESSION-a|heart-beat:?|version:1.2'],
                ours: [error('Bad CONNECT', text`Access refused for user 'guest'\n`)],
            },
        },
    },
    {
        why: 'There is one virtual host, that of the configuration.',
        cases: {
            'CONNECT with an unknown virtual host': {
                plugin: [error('Bad CONNECT', "Virtual host 'nowhere' access denied")],
                ours: ['a< CONNECTED|server|session:SESSION-a|heart-beat:?|version:1.2'],
            },
        },
    },
    {
        why: 'STOMP: CONNECT is not escaped, so a password may hold a backslash.',
        cases: {
            'CONNECT with a backslash in the password': {
                plugin: [error('Bad CONNECT', text`Access refused for user 'slash'\n`)],
                ours: ['a< CONNECTED|server|session:SESSION-a|heart-beat:?|version:1.2'],
            },
        },
    },
    {
        why: "The plugin's connection crashes.",
        cases: {
            'a second CONNECT': {
                plugin: ['a closed', 'a closed'],
                ours: ['a open', error('Illegal command', text`This session is connected already\n`)],
            },
        },
    },
    {
        why: 'What is no frame is answered by an ERROR that says why, then by the close. The plugin closes without a word.',
        cases: {
            'malformed: a header without a colon': {
                plugin: ['a closed'],
                ours: [error('Malformed frame', text`A header line has no colon\n`)],
            },
            'malformed: an undefined escape': {
                plugin: ['a closed'],
                ours: [error('Malformed frame', text`A header has an undefined escape sequence\n`)],
            },
            'malformed: a carriage return alone': {
                plugin: ['a closed'],
                ours: [error('Malformed frame', text`A carriage return is not followed by a line feed\n`)],
            },
            'malformed: a content-length that is no number': {
                plugin: ['a closed'],
                ours: [error('Malformed frame', text`The content-length is not a number, or two of them differ\n`)],
            },
            'malformed: a negative content-length': {
                plugin: ['a closed'],
                ours: [error('Malformed frame', text`The content-length is not a number, or two of them differ\n`)],
            },
            'malformed: a body longer than its content-length': {
                plugin: ['a closed'],
                ours: [error('Malformed frame', text`The body is longer than content-length says: no NUL follows it\n`)],
            },
        },
    },
    {
        why: 'The plugin reads on as if nothing were wrong.',
        cases: {
            'malformed: a NUL among the headers': {
                plugin: ['a nothing comes', 'a open'],
                ours: ['a closed', error('Malformed frame', text`A NUL stands in the header block, or a control byte in a header name\n`)],
            },
            'malformed: a header without a name': {
                plugin: ['a nothing comes', 'a open'],
                ours: ['a closed', error('Malformed frame', text`A header has an empty name\n`)],
            },
            'malformed: HTTP': {
                plugin: ['a open', error('Illegal command', 'You must log in using CONNECT first')],
                ours: ['a closed', error('Malformed frame', text`The command is too long or has a byte that no command can have\n`)],
            },
        },
    },
    {
        why: 'STOMP 1.2: only SEND, MESSAGE and ERROR may have a body.',
        cases: {
            'a body on a frame that has none': {
                plugin: ['a open', 'a< RECEIPT|receipt-id:r'],
                ours: ['a closed', error('Malformed frame', text`Only SEND, MESSAGE and ERROR frames can have a body\n`)],
            },
        },
    },
];
