
local L={} for l in io.lines(os.getenv("OP")=="list" and "cur.txt" or "ids.txt") do L[#L+1]=l end
local op=os.getenv("OP"); local n=0; local tag=tostring(os.time())..tostring({}):sub(8)
local bad=0
function init(a) math.randomseed(os.time()+tonumber(tostring({}):sub(8),16)%1000000); tag=tostring(math.random(1,1e9)) end
request=function()
 n=n+1
 if op=="get" then return wrk.format("GET","/accounts/"..L[math.random(#L)]) end
 if op=="list" then return wrk.format("GET","/accounts?limit=50&cursor="..L[math.random(#L)]) end
 if op=="create" then return wrk.format("POST","/accounts",{["Content-Type"]="application/json"},'{"email":"b'..tag..n..'@example.com","username":"bench","dob":"1990-05-17","country":"JO","phone_number":"+962790000000"}') end
 if op=="patch" then return wrk.format("PATCH","/accounts/"..L[math.random(#L)],{["Content-Type"]="application/merge-patch+json"},'{"username":"n'..tag..n..'"}') end
 if op=="root" then return wrk.format("GET","/livez") end
end