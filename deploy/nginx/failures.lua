-- Gives failures that TorchServe words itself, such as that of an unknown model, the key `error`, which
-- clients of the open inference protocol read.

local _M = {}

local MESSAGE = [["message"\s*:\s*("(?:[^"\\]|\\.)*")]]

-- Of the header: takes its length from a failure, which is held back until it is whole.
function _M.hold()
    if ngx.status >= 400 and ngx.var.request_uri:find("^/v[12]/") then
        ngx.ctx.failure = ""
        ngx.header.content_length = nil
    end
end

-- Of the body: sends what was held, with the key if it lacks it.
function _M.complete()
    if not ngx.ctx.failure then
        return
    end
    ngx.ctx.failure = ngx.ctx.failure .. ngx.arg[1]
    if not ngx.arg[2] then
        ngx.arg[1] = nil
        return
    end
    local body = ngx.ctx.failure
    local found = not body:find('"error"', 1, true) and ngx.re.match(body, MESSAGE, "jo")
    local last = found and body:find("}%s*$")
    ngx.arg[1] = last and body:sub(1, last - 1) .. ', "error": ' .. found[1] .. "}" or body
end

return _M
