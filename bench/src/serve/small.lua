-- wrk: puts or gets bodies of 4 KiB. Arguments: PUT or GET, the folder's path, a file with a body, and perhaps what to send as
-- Authorization. A put never has the key or the bytes of another; gets take turns among the 512 objects s000 to s511.

local threads = 0

function setup(thread)
   threads = threads + 1
   thread:set("number", threads)
end

function init(args)
   method, folder = args[1], args[2]
   local file = assert(io.open(args[3], "rb"))
   rest = file:read("*a"):sub(17)
   file:close()
   headers = {}
   if args[4] then
      headers["Authorization"] = args[4]
   end
   count = 0
   gets = {}
   for n = 0, 511 do
      gets[n] = wrk.format("GET", folder .. string.format("s%03d", n), headers)
   end
end

function request()
   count = count + 1
   if method == "GET" then
      return gets[(count * 37 + number * 256) % 512]
   end
   local key = string.format("t%d-%d", number, count)
   return wrk.format("PUT", folder .. key, headers, string.format("%-16s", key) .. rest)
end
