-- A roll-out: which requests the candidate, a new version of a model, answers, and which are copied.
--
-- `face-age rollout` writes the plan, a file of one line, and renews it while it watches; without one
-- that is still valid every request goes to TorchServe's default version.

local watched_file = require "watched_file"

local _M = {}

local PLAN = "^([%w._-]+) ([%w._-]+) share=([%d.]+) by=(%a+) copies=([%d.]+) port=(%d+) until=(%d+)"
local CONNECT, SEND, ANSWER = 200, 1000, 1000  -- milliseconds for a copy

local copying = false  -- one copy at a time, of each nginx worker

local plan_in = watched_file.new(function(text)
    local model, version, share, by, copies, port, ends = text:match(PLAN)
    return model and {
        path = "/predictions/" .. model, version = version, share = tonumber(share), by = by,
        copies = tonumber(copies), port = tonumber(port), ends = tonumber(ends),
    } or {}
end)

-- A number from 0 to 1: the key's own, or a random one.
local function draw(plan)
    if plan.by == "key" then
        return ngx.crc32_long(plan.version .. ngx.var.api_key) / 2 ^ 32
    end
    return math.random()
end

-- Sends a copy of the request to `face-age rollout`. A timer does so: the client waits for nothing.
local function copy(port)
    local body = ngx.req.get_body_data()
    if copying or not body then
        return
    end
    local head = "POST / HTTP/1.0\r\nContent-Type: " .. (ngx.var.content_type or "")
        .. "\r\nContent-Length: " .. #body .. "\r\n\r\n"
    copying = ngx.timer.at(0, function()
        local socket = ngx.socket.tcp()
        socket:settimeouts(CONNECT, SEND, ANSWER)
        if socket:connect("127.0.0.1", port) then
            socket:send({ head, body })
            socket:receive("*l")  -- or it would be closed before all has arrived
            socket:close()
        end
        copying = false
    end)
end

-- Redirects to @candidate what the candidate shall answer, and copies a part of the rest.
function _M.route()
    if ngx.var.candidate ~= "" then  -- it has failed
        return
    end
    local plan = plan_in(ngx.var.rollout_plan)
    if not plan or plan.path ~= ngx.var.uri or ngx.time() > plan.ends then
        return
    end
    if draw(plan) < plan.share then
        ngx.var.candidate = plan.version
        return ngx.exec("@candidate")
    end
    if math.random() < plan.copies then
        copy(plan.port)
    end
end

return _M
