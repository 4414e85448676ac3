// Validates the protobuf message of a gRPC Predictions call before TorchServe parses it: TorchServe's
// memory and time grow with every field of a message.

// of a message or a map entry; a call has a model, a version, `data`, one entry for each option, and
// request_id, traceparent and tracestate
const FIELDS = 15;
const KEY = 64; // bytes of a name
const NAME = /^[\w.-]*$/;
const PREFIX = 5; // bytes before a message: the compression flag and the length

const INVALID_ARGUMENT = 3;
const UNIMPLEMENTED = 12;

const MODEL = 1; // field numbers of PredictionsRequest: see client/face_age_client/inference.proto
const VERSION = 2;
const ENTRY = 3;

// The fault of a call's body, {status, message}; null if TorchServe may parse it.
// `mostFaces` is the largest max_faces that is allowed.
function faultOfCall(body, mostFaces) {
    if (body.length < PREFIX || PREFIX + body.readUInt32BE(1) !== body.length) {
        return invalid('a call carries one whole message');
    }
    if (body[0] !== 0) {
        return { status: UNIMPLEMENTED, message: 'messages are sent uncompressed' };
    }
    const fault = faultOfRequest(body, mostFaces);
    return fault ? invalid(fault) : null;
}

function invalid(message) {
    return { status: INVALID_ARGUMENT, message };
}

function faultOfRequest(body, mostFaces) {
    const fields = fieldsOf(body, PREFIX, body.length);
    if (!fields) {
        return `a request has at most ${FIELDS} fields: model_name, model_version and entries of input`;
    }
    const seen = [];
    for (let i = 0; i < fields.length; i++) {
        const field = fields[i];
        let name;
        if (field.number === ENTRY) {
            const entry = entryOf(body, field);
            if (entry === null) {
                return `an entry of input has one key of at most ${KEY} letters, and one value`;
            }
            if (entry.key === 'max_faces' && Number(entry.value) > mostFaces) {
                return `max_faces must be a whole number from 1 to ${mostFaces}`;
            }
            name = entry.key;
        } else if (field.number === MODEL || field.number === VERSION) {
            if (textOf(body, field) === null) {
                return `names of models and versions have at most ${KEY} letters`;
            }
            name = `field ${field.number}`;
        } else {
            return 'a request has no other fields than model_name, model_version and input';
        }
        if (seen.indexOf(name) >= 0) {
            return `${name} is given twice; a call carries one photo`;
        }
        seen.push(name);
    }
    return '';
}

// Key and value of a map entry; null if it is malformed or its key is no name. The value is null if it
// is too long to be a name.
function entryOf(body, field) {
    const fields = fieldsOf(body, field.start, field.end);
    const numbers = fields ? fields.map((field) => field.number).join() : '';
    const key = numbers === '1,2' || numbers === '1' ? textOf(body, fields[0]) : null;
    return key === null ? null : { key, value: fields[1] ? textOf(body, fields[1]) : '' };
}

// A field's text as a name; null if it is no valid name.
function textOf(body, field) {
    const text = body.slice(field.start, Math.min(field.end, field.start + KEY + 1)).toString();
    return text.length <= KEY && NAME.test(text) ? text : null;
}

// The length-delimited fields between two offsets; null if there are more than FIELDS, or other bytes.
function fieldsOf(body, start, end) {
    const fields = [];
    let at = start;
    while (at < end) {
        const tag = varint(body, at, end);
        const length = tag && varint(body, tag.end, end);
        if (!length || (tag.value & 7) !== 2 || length.end + length.value > end) {
            return null;
        }
        at = length.end + length.value;
        fields.push({ number: tag.value >> 3, start: length.end, end: at });
        if (fields.length > FIELDS) {
            return null;
        }
    }
    return fields;
}

// A varint of up to 28 bits, enough for any message here; null for anything else.
function varint(body, at, end) {
    let value = 0;
    for (let shift = 0; shift < 28 && at < end; shift += 7) {
        const byte = body[at];
        at += 1;
        value |= (byte & 127) << shift;
        if (byte < 128) {
            return { value, end: at };
        }
    }
    return null;
}

export default { faultOfCall };
