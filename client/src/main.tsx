/** Puts the page into the browser. */
import '@fontsource-variable/inter/wght.css';
import './theme/tokens.css';
import './theme/base.css';
import { QueryClientProvider } from '@tanstack/react-query';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { App } from './App';
import { queries } from './api/queries';
import { takeSecret } from './session/setup_link';
import { keepLook } from './theme/theme';

const root = document.getElementById('root');
if (!root) throw new Error('index.html has no #root');
keepLook();
// Before anything else is loaded: whoever looks over a shoulder sees no secret.
if (window.location.pathname === '/setup') takeSecret();
createRoot(root).render(
  <StrictMode>
    <QueryClientProvider client={queries}>
      <App />
    </QueryClientProvider>
  </StrictMode>,
);
