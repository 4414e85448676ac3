-- Logging: limits the rate of access log lines, and logs TorchServe's failures without the request.

local _M = {}

local LINES = 50  -- access log lines a second, for each key, or each address without a valid key
local PAUSE = 1   -- seconds between equal lines of the error log, for each nginx worker

local lines = ngx.shared.lines_written
local logged_at = {}  -- line of the error log -> time

-- Whether the request gets a line of the access log: a client that resets streams as fast as it can
-- makes a thousand times as many requests as the rate limit lets through.
function _M.within_lines()
    local key = ngx.var.api_key
    local who = key ~= "" and key or ngx.var.binary_remote_addr
    return (lines:incr(who, 1, 0, 1) or 0) <= LINES
end

-- Writes a line to the error log. While nginx handles a request it appends the request line, which may
-- hold anything; so a timer writes the line right afterwards.
function _M.log_error(line)
    if ngx.now() - (logged_at[line] or 0) < PAUSE then
        return
    end
    logged_at[line] = ngx.now()
    ngx.timer.at(0, function() ngx.log(ngx.CRIT, line) end)
end

-- Logs that TorchServe is unreachable or timed out.
function _M.log_upstream_failure()
    local status = (ngx.var.upstream_status or ""):match("%d+$")
    if status == "502" then
        _M.log_error("TorchServe at " .. ngx.var.upstream_addr .. " refused or broke off a connection")
    elseif status == "504" then
        _M.log_error("TorchServe at " .. ngx.var.upstream_addr .. " timed out")
    end
end

return _M
