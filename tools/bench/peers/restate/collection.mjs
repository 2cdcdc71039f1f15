// A collection as a virtual object. Restate runs one call per key at a time and keeps its state, so there is one live
// task per key: the one in the state. A changed source replaces it, and the one it replaces is remembered as aborted.
// All of it is durable when the call has answered.
import * as restate from "@restatedev/restate-sdk";

// The SDK uses it, and node has it from 22 on; Debian's is older.
Promise.withResolvers ??= function () {
  const made = {};
  made.promise = new this((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
};

const collection = restate.object({
  name: "collection",
  handlers: {
    declare: async (ctx, source) => {
      const known = await ctx.get("collection");
      if (known?.source === source) return known.generation;
      const generation = (known?.generation ?? 0) + 1;
      const aborted = known?.live;
      const live = { generation, source, status: "waiting" };
      ctx.set("collection", { source, generation, live, aborted });
      return generation;
    },
  },
});

restate.endpoint().bind(collection).listen(Number(process.argv[2]));
