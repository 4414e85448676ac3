// Checks that nginx cannot configure: unknown options in headers and queries, and the parts of a form.

import messages from 'messages.js';

const PARTS = 10; // a form has `data` and one part for each option
const HEAD = 1024; // bytes of a part's own headers
// Headers of a part. TorchServe writes a part to the disk if its declared length exceeds the form, and
// answers 500 to base64 and other transfer encodings.
const PART_HEADERS = {
    'content-disposition': /^form-data[ \t]*;.*[; \t]name[ \t]*=[ \t]*("[^"]|[^" \t;])/i,
    'content-type': /./,
    'content-length': /^\d{1,8}$/,
    'content-transfer-encoding': /^(7bit|8bit|binary)$/i,
};
// The options' headers, which rest.conf passes on.
const OPTIONS = [
    'X-Min-Confidence', 'X-Max-Faces', 'X-Attributes', 'X-Top-K', 'X-Distribution', 'X-Quality', 'X-Relative',
    'X-Rotate', 'X-Annotate',
];
const OPTION_LENGTH = 1024; // letters of an option; only X-Attributes has more than a few
// Misspelt options, as in handler/options.py: the proxy would drop these headers silently.
const LIKE_AN_OPTION = new RegExp(
    '^(?:(x[-_])?((min|mim|max|minimum|maximum|num|number|of|count|score|limit|face|detection)[-_]?)*' +
    '(faces|c(?=[a-z]{0,9}f)(?=[a-z]{0,9}n)[onfideac]{3,11})' +
    '([-_]?(min|max|minimum|maximum|num|number|count|score|threshold|limit|size))*' +
    '|(x[-_])?(min|max)(imum)?[-_]?((num|number|of)[-_])*(fac|f[aces]{4}|conf(?!ig)).*' +
    '|x[-_](min|max)(imum)?[-_]?(detect|score|prob|thresh|result|people|person|count|num).*' +
    '|x[-_](at{1,2}r[a-z]{0,9}|top[-_]?[kn]|distrib[a-z]{0,9}|relativ[a-z]{0,3}([-_]?box(es)?)?' +
    '|qual{1,2}it[a-z]{0,4}|an{1,2}ot[a-z]{0,9}|(auto[-_]?)?rot{1,2}at[a-z]{0,4}))$'
);

// Passes a request to TorchServe, with the options of its headers and its query as headers; refuses a
// misspelt or long option, and a form that is expensive to parse.
function inspect(r) {
    const option = faultOfOptions(r.headersIn) || faultOfQuery(r.args, r.headersIn);
    if (option) {
        refuse(r, 'InvalidOption', option);
        return;
    }
    const type = r.variables.content_type || ''; // the one that TorchServe gets
    const fault = /^\s*multipart\//i.test(type) ? faultOfForm(type, r.requestBuffer) : '';
    if (fault) {
        refuse(r, 'InvalidRequest', fault);
        return;
    }
    OPTIONS.forEach((header) => {
        r.variables[`option_${nameOf(header)}`] = r.args[nameOf(header)] || r.headersIn[header] || '';
    });
    r.internalRedirect('@torchserve');
}

function refuse(r, type, message) {
    const failure = { code: 400, type: type, message: message };
    if (/^\/v[12]\//.test(r.variables.request_uri)) {
        failure.error = message; // which clients of the open inference protocol read
    }
    r.headersOut['Content-Type'] = 'application/json';
    r.return(400, JSON.stringify(failure));
}

// An option's name in a query, a form or JSON.
function nameOf(header) {
    return header.slice(2).toLowerCase().replace(/-/g, '_');
}

// The fault of a query, which may have options alone; empty if there is none.
function faultOfQuery(query, headers) {
    const names = OPTIONS.map(nameOf);
    for (const name in query) {
        const value = query[name];
        const at = names.indexOf(name);
        if (at < 0) {
            return `there is no option '${name.slice(0, 64)}'; known are ${names.join(', ')}`;
        }
        if (typeof value !== 'string' || headers[OPTIONS[at]]) {
            return `${name} is given twice, in the query or as a header too`;
        }
        // it becomes a header, in which a line's end would begin another
        if (!/^[ -~]+$/.test(value) || value.length > OPTION_LENGTH) {
            return `${name} has 1 to ${OPTION_LENGTH} letters in a query`;
        }
    }
    return '';
}

// The fault of an option's header, misspelt or long; empty if there is none.
function faultOfOptions(headers) {
    const known = OPTIONS.map((option) => option.toLowerCase());
    for (const name in headers) {
        const lower = name.toLowerCase();
        const at = known.indexOf(lower);
        if (at >= 0 && headers[name].length > OPTION_LENGTH) {
            return `${OPTIONS[at]} has at most ${OPTION_LENGTH} letters`;
        }
        if (at < 0 && lower.length <= 64 && LIKE_AN_OPTION.test(lower)) {
            return `there is no option '${lower}'; known headers are ${OPTIONS.join(', ')}`;
        }
    }
    return '';
}

// Passes a complete gRPC call to TorchServe; refuses a message that is expensive to parse.
function inspectCall(r) {
    const fault = messages.faultOfCall(r.requestBuffer || Buffer.from(''), Number(r.variables.most_faces));
    if (fault) {
        r.variables.call_fault = fault.message;
        r.internalRedirect(`/refused/${fault.status}`);
        return;
    }
    r.internalRedirect('@torchserve_grpc');
}

// The fault of a multipart body; empty if it has none.
function faultOfForm(type, content) {
    // Stricter than the standard, so that TorchServe cannot parse another boundary than this one.
    const found = /^multipart\/form-data; ?boundary=("?)([\w'()+,./:=?-]{1,70})\1$/i
        .exec(type);
    if (!found) {
        return 'a form has the type multipart/form-data; boundary=... and nothing more';
    }
    const body = content || Buffer.from('');
    const delimiter = Buffer.from(`--${found[2]}`);
    let delimiters = 0;
    for (let at = body.indexOf(delimiter); at >= 0; at = body.indexOf(delimiter, at)) {
        at += delimiter.length;
        delimiters += 1;
        if (delimiters > PARTS + 1) { // the last one ends the form
            return `a form has at most ${PARTS} parts`;
        }
        const head = body.slice(at, at + HEAD).toString();
        if (head.startsWith('--')) {
            continue; // the end, or not, for TorchServe: it was counted
        }
        if (head.indexOf('\r\n\r\n') < 0) {
            return `a part of a form begins with at most ${HEAD} bytes of headers`;
        }
        if (/multipart\//i.test(head)) {
            return 'a part of a form is no form itself';
        }
        const fault = faultOfPart(head.slice(0, head.indexOf('\r\n\r\n')), body.length);
        if (fault) {
            return fault;
        }
    }
    return '';
}

// The fault of a part's headers; empty if it has none. `length` is that of the form, in bytes.
function faultOfPart(head, length) {
    const seen = [];
    const lines = head.split('\r\n').slice(1); // the first line is the rest of the boundary
    for (let i = 0; i < lines.length; i++) {
        const header = /^([\w-]+)[ \t]*:[ \t]*([^\r\n]*)$/.exec(lines[i]);
        const name = header ? header[1].toLowerCase() : '';
        if (!PART_HEADERS[name] || seen.indexOf(name) >= 0) {
            return 'a part of a form has the headers Content-Disposition and Content-Type, and no others';
        }
        const value = header[2].trim();
        if (!PART_HEADERS[name].test(value) || (name === 'content-length' && Number(value) > length)) {
            return name === 'content-transfer-encoding'
                ? 'a part of a form is sent as it is, without a Content-Transfer-Encoding'
                : `a part of a form has the header ${name} with a value that cannot be`;
        }
        seen.push(name);
    }
    return seen.indexOf('content-disposition') < 0 ? 'a part of a form has a name' : '';
}

export default { inspect, inspectCall };
