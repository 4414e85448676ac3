// Health and descriptions of the open inference protocol, by what TorchServe's management says.

const MODELS = 100; // as many as TorchServe lists in an answer
const IMAGES = [{ name: 'image', datatype: 'BYTES', shape: [-1] }];
const ANSWERS = [{ name: 'answer', datatype: 'BYTES', shape: [-1] }];

async function live(r) {
    const reply = await r.subrequest('/internal/ping');
    if (reply.status !== 200) {
        r.return(503);
        return;
    }
    answer(r, 200, { live: true });
}

// Every model has a worker.
async function ready(r) {
    const reply = await r.subrequest('/internal/models');
    const models = reply.status === 200 ? JSON.parse(reply.responseText).models : [];
    for (let i = 0; i < models.length && i < MODELS; i++) {
        const versions = await described(r, `/${models[i].modelName}`);
        if (!versions.some(hasWorker)) {
            r.return(503);
            return;
        }
    }
    if (models.length === 0) {
        r.return(503);
        return;
    }
    answer(r, 200, { ready: true });
}

async function modelReady(r) {
    const versions = await described(r, nameOf(r));
    if (!versions.some(hasWorker)) {
        r.return(versions.length ? 503 : 404);
        return;
    }
    answer(r, 200, { name: r.variables.of_model, ready: true });
}

async function description(r) {
    const versions = await described(r, r.variables.of_version ? nameOf(r) : `${nameOf(r)}/all`);
    if (versions.length === 0) {
        r.return(404);
        return;
    }
    answer(r, 200, {
        name: r.variables.of_model,
        versions: versions.map((version) => version.modelVersion),
        platform: 'pytorch_torchserve',
        inputs: IMAGES,
        outputs: ANSWERS,
    });
}

function nameOf(r) {
    const version = r.variables.of_version;
    return `/${r.variables.of_model}${version ? '/' + version : ''}`;
}

// A model's versions as management describes them; none where there are none.
async function described(r, name) {
    const reply = await r.subrequest(`/internal/models${name}`);
    return reply.status === 200 ? JSON.parse(reply.responseText) : [];
}

function hasWorker(version) {
    return version.workers.some((worker) => worker.status === 'READY');
}

function answer(r, status, content) {
    r.headersOut['Content-Type'] = 'application/json';
    r.return(status, JSON.stringify(content));
}

export default { live, ready, modelReady, description };
