// Requests go to the host that served this page: the content security policy allows no other, and the document may name
// another address of the same service.
const here = (response) => {
  if (response.url.endsWith("/openapi.json")) {
    response.text = JSON.stringify({ ...JSON.parse(response.text), servers: [{ url: window.location.origin }] });
  }
  return response;
};

// Of a sign-in only the access token is kept in the browser, neither the password nor the refresh token.
const forgetSecrets = () => ({
  statePlugins: {
    auth: {
      wrapActions: {
        authorizeOauth2: (authorize) => ({ auth, token }) =>
          authorize({
            auth: { ...auth, password: "", clientSecret: "" },
            token: { access_token: token.access_token, token_type: token.token_type },
          }),
      },
    },
  },
});

SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#page",
  deepLinking: true,
  tryItOutEnabled: true,
  persistAuthorization: true,
  showCommonExtensions: true,
  validatorUrl: null,
  responseInterceptor: here,
  plugins: [forgetSecrets],
});
