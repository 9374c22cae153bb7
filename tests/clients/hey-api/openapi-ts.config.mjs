// All responses and requests are validated with zod.
export default {
  input: `${process.env.ADDRESS}/openapi.json`,
  output: { path: "client", importFileExtension: ".js" },
  plugins: [
    "@hey-api/client-fetch",
    "@hey-api/typescript",
    "zod",
    { name: "@hey-api/sdk", validator: true },
  ],
};
