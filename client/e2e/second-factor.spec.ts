import type { Page } from '@playwright/test';
import { checkPage } from './axe';
import { press } from './keys';
import { ALICE, expect, test } from './server';
import { codeOf } from './totp';

test.use({ users: [ALICE] });

const signIn = async (page: Page) => {
  await page.goto('/settings');
  await page.getByLabel('Name').fill(ALICE.name);
  await page.getByLabel('Password').fill(ALICE.password);
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
};

const signOut = async (page: Page) => {
  const account = page.getByRole('region', { name: 'Account' });
  await account.getByRole('button', { name: 'Sign out' }).click();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Sign in');
};

test('an authenticator app is set up and required, and a recovery code replaces it', async ({
  page,
}) => {
  await signIn(page);
  const section = page.getByRole('region', { name: 'Second factor' });
  await section.getByRole('button', { name: 'Set up an app' }).click();
  const setup = page.getByRole('dialog', { name: 'Set up an app' });
  const key = await setup.getByRole('textbox', { name: 'Key', exact: true }).inputValue();
  await expect(setup.getByRole('img', { name: /QR code/ })).toBeVisible();
  await checkPage(page);
  await setup.getByLabel('Code from the app').fill('000000');
  await setup.getByRole('button', { name: 'Finish' }).click();
  await expect(setup.getByRole('alert')).toContainText('is wrong');
  await setup.getByLabel('Code from the app').fill(codeOf(key));
  await setup.getByRole('button', { name: 'Finish' }).click();
  const shown = page.getByRole('dialog', { name: 'Save these recovery codes' });
  const codes = await shown.locator('code').allInnerTexts();
  expect(codes).toHaveLength(10);
  await checkPage(page);
  // Escape does not close the dialog.
  await page.keyboard.press('Escape');
  await shown.getByRole('button', { name: 'I have saved them' }).click();
  await expect(section.getByText('10 codes are left.')).toBeVisible();

  await signOut(page);
  await signIn(page);
  await expect(page.getByText('Your password is correct.')).toBeVisible();
  await checkPage(page);
  const code = page.getByLabel('Code from your app, or a recovery code');
  await expect(code).toBeFocused();
  await code.fill('123456');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('alert').filter({ hasText: 'That was not accepted.' })).toBeVisible();
  await code.fill(codeOf(key, 1));
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Settings');

  await signOut(page);
  await signIn(page);
  await code.fill((codes[0] ?? '').toUpperCase());
  await page.keyboard.press('Enter');
  await expect(section.getByText('9 codes are left.')).toBeVisible();

  await press(page, section.getByRole('button', { name: 'Remove the authenticator app' }));
  const asked = page.getByRole('dialog', { name: 'Remove the authenticator app?' });
  await press(page, asked.getByRole('button', { name: 'Remove', exact: true }));
  await expect(section.getByRole('button', { name: 'Set up an app' })).toBeVisible();
  await signOut(page);
  await signIn(page);
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Settings');
});

test('a passkey is created, confirms, and signs in without a password', async ({
  page,
  context,
}) => {
  const devices = await context.newCDPSession(page);
  await devices.send('WebAuthn.enable');
  const { authenticatorId } = await devices.send('WebAuthn.addVirtualAuthenticator', {
    options: {
      protocol: 'ctap2',
      transport: 'internal',
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true,
      automaticPresenceSimulation: true,
    },
  });
  await signIn(page);
  const section = page.getByRole('region', { name: 'Second factor' });
  await section.getByRole('button', { name: 'Add a passkey' }).click();
  const adding = page.getByRole('dialog', { name: 'Add a passkey' });
  await adding.getByLabel('Name of the passkey').fill('test device');
  await adding.getByRole('button', { name: 'Add a passkey' }).click();
  await page.getByRole('button', { name: 'I have saved them' }).click();
  await expect(section.getByText('Passkey “test device”')).toBeVisible();

  // As the second factor.
  await signOut(page);
  await signIn(page);
  await page.getByRole('button', { name: 'Use your passkey' }).click();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Settings');

  // Without a password, which requires user verification.
  await signOut(page);
  const alone = page.getByRole('button', { name: 'Sign in with a passkey' });
  await devices.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified: false });
  await alone.click();
  await expect(page.getByRole('alert').filter({ hasText: 'not used' })).toBeVisible();
  await devices.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified: true });
  await alone.click();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Settings');

  await section.getByRole('button', { name: 'Remove the passkey test device' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Remove', exact: true }).click();
  await expect(section.getByText('Passkey “test device”')).toBeHidden();
});
